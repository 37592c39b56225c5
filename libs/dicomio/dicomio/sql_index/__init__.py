"""The index on SQLAlchemy Core: SQLite or PostgreSQL, the only place that knows SQL."""

from dicomio.sql_index.index import SqlIndex

__all__ = ["SqlIndex"]
