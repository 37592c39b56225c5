"""The HTTP interface of the data dictionary: keywords, for those who type a tag path."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import BaseModel, Field

from dicomcore.keywords import Keyword, keywords_like
from dicomio.http import AnyRoute, Call, Input, Nothing, Role, Route


class KeywordsQuery(Input):
    """What is typed so far."""

    prefix: str = Field(min_length=1, max_length=64)
    """Any part of a keyword, in any case; keywords that start with it come first."""
    limit: int = Field(default=20, ge=1, le=100)


class Keywords(BaseModel):
    """Keywords of PS3.6."""

    keywords: tuple[Keyword, ...]


def keyword_routes() -> Sequence[AnyRoute]:
    """Return the operations on the data dictionary."""
    return (
        Route(
            method="GET",
            template="/v1/keywords",
            handler=_keywords,
            operation_id="listKeywords",
            role=Role.READER,
            summary="Keywords of the data dictionary by a part of them, with tag, name and VR",
            responses={200: Keywords},
            query=KeywordsQuery,
            errors=(422,),
            tags=("search",),
        ),
    )


async def _keywords(call: Call[Nothing, KeywordsQuery]) -> Keywords:
    return Keywords(keywords=keywords_like(call.query.prefix, limit=call.query.limit))
