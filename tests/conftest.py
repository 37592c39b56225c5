"""Fixtures shared by every suite."""

pytest_plugins: list[str] = [
    "tests.servers.weed",
    "tests.servers.postgres",
]
