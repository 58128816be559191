"""An opened copy of the labeled workspace."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from autointerp.project.context import Context
from autointerp.project.workspace import WorkspaceFolder


@pytest.fixture
def ctx(workspace: Path) -> Iterator[Context]:
    opened = WorkspaceFolder(workspace)
    yield Context(opened)
    opened.close()
