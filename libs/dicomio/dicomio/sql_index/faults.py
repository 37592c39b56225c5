"""Where an error of the database becomes one of ours."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, SQLAlchemyError, StatementError

from dicomcore.errors import IndexUnavailable, Rejected

# SQLSTATE classes in which the value is at fault, not the moment (PostgreSQL manual, appendix A):
# data exception, integrity constraint violation, program limit exceeded.
_NEVER = ("22", "23", "54")


@contextmanager
def mapped_errors() -> Iterator[None]:
    """Turn every error of SQLAlchemy, its drivers and the network into ours.

    Raises
    ------
    Rejected
        The database will never take these values.
    IndexUnavailable
        Anything else: nothing was written, or nobody knows; the same call may succeed later.
    """
    try:
        yield
    except SQLAlchemyError as exc:
        # The text of the original error may quote a value of a patient: only its type goes on.
        kind = type(exc.__cause__ or exc).__name__
        if _is_final(exc):
            raise Rejected("the index does not take these values", error=kind) from exc
        raise IndexUnavailable("the index does not answer", error=kind) from exc
    except sqlite3.Error as exc:  # `sql.rows` asks SQLite itself
        raise IndexUnavailable("the index does not answer", error=type(exc).__name__) from exc
    except (OSError, TimeoutError) as exc:  # asyncpg does not wrap what connecting raises
        raise IndexUnavailable("the index cannot be reached", error=type(exc).__name__) from exc


def _is_final(exc: SQLAlchemyError) -> bool:
    if isinstance(exc, DataError | IntegrityError):
        return True
    if isinstance(exc, DBAPIError):
        state = str(getattr(exc.orig, "sqlstate", None) or "")
        return state[:2] in _NEVER
    return isinstance(exc, StatementError)  # a value that could not even be bound
