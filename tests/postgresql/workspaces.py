"""Every workspace in a database of its own on one PostgreSQL server, whatever its settings file says.

The tests of the stages make workspaces anywhere, in their own process and in others. So which database is a
workspace's follows from its path alone. Tests load this module; their children run it as `sitecustomize`.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import psycopg

SERVER = "AUTOINTERP_TEST_SERVER"
"""Variable with the URL of the server's database `postgres`."""


def database_of(path: Path) -> str:
    """The database of the workspace at `path`."""
    return f"w_{hashlib.sha256(str(Path(path).resolve()).encode()).hexdigest()[:20]}"


def url_of(path: Path) -> str:
    """URL of the database of the workspace at `path`, which is made if it is new."""
    server, name = os.environ[SERVER], database_of(path)
    with psycopg.connect(server.replace("+psycopg", ""), autocommit=True) as connection:
        if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,)).fetchone():
            connection.execute(f'CREATE DATABASE "{name}"'.encode())
    return f"{server.rpartition('/')[0]}/{name}"


def take_over() -> Any:
    """Make every workspace without a database of its own use its one here; returns what undoes it."""
    from autointerp.project.workspace import WorkspaceFolder

    own: Any = WorkspaceFolder.database_url

    def url(self: WorkspaceFolder) -> str:
        return own.fget(self) if self.settings.database else url_of(self.path)

    WorkspaceFolder.database_url = property(url)  # type: ignore[assignment, method-assign]

    def undo() -> None:
        WorkspaceFolder.database_url = own  # type: ignore[method-assign]

    return undo
