"""Fixtures shared by every suite."""

pytest_plugins: list[str] = []
