"""Alembic's view of the schema: run by `engine.migrate`, never from a command line."""
