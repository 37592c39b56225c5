"""Alembic asks here for a connection; ours comes with the configuration."""

from __future__ import annotations

from alembic import context

from dicomio.sql_index.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    # SQLite changes tables by copying them; without effect where that is not needed.
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
