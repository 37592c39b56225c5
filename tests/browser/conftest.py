"""Fixtures of this suite; apart from the others', so that only it needs a browser's library."""

from __future__ import annotations

from tests.browser.world import (
    chromium,
    context,
    demo_pacs,
    node_tools,
    system,
    visit,
)

__all__ = ["chromium", "context", "demo_pacs", "node_tools", "system", "visit"]
