"""How hard a peer may be worked: from its quirks, with defaults that spare a clinical PACS."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class Limits(BaseModel):
    """Bounds of one job against one peer."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    uid_list_limit: int = Field(default=64, ge=1, le=1000)
    """SOP Instance UIDs in one C-MOVE or C-GET; the planner learns smaller ones by refusal."""
    attempts: int = Field(default=4, ge=1, le=20)
    """Requests without any progress before an instance is given up."""
    backoff_s: float = Field(default=0.5, ge=0)
    """Before the second attempt; doubles from attempt to attempt."""
    backoff_limit_s: float = Field(default=30.0, ge=0)
    study_level: bool = True
    """Whether a whole study may be asked for once the peer has refused everything smaller."""
    send_associations: int = Field(default=4, ge=1, le=16)
    """Associations at a time over which the images of one job are sent."""
    sop_classes_per_association: int = Field(default=120, ge=1, le=120)
    """Storage presentation contexts of one C-GET; there are 128 for all (PS3.8 9.3.2.2)."""
