"""A judged workspace, its bundle, and an empty workspace."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from autointerp import Workspace
from autointerp.db.models import Label

Cli = Callable[..., Any]


@pytest.fixture(scope="session")
def judged(labeled: Path, databases: Any, tmp_path_factory: pytest.TempPathFactory, cli: Cli) -> Path:
    """The labeled workspace with a second labeler's labels, one of them a failure, and judged trials."""
    path = databases.copy(labeled, tmp_path_factory.mktemp("judged") / "w")
    assert cli("-w", path, "-q", "label", "--layer", "mid", "--labeler", "prompts", "-n", "5").code == 0
    for method in ("detection", "gain"):
        assert cli("-w", path, "-q", "score", "--layer", "mid", "--method", method, "--judge", "oracle").code == 0
    opened = Workspace(path)
    with opened.db.session() as session:
        label = session.scalars(select(Label).order_by(Label.id.desc())).first()
        label.status, label.name, label.error = "failed", "", "no answer came"
    opened.close()
    return path


@pytest.fixture(scope="session")
def bundle(judged: Path, tmp_path_factory: pytest.TempPathFactory, cli: Cli) -> Path:
    out = tmp_path_factory.mktemp("bundle") / "out"
    done = cli("-w", judged, "-q", "export", "--layer", "mid", "-o", out)
    assert (done.code, done.out, done.err) == (0, f"{out}\n", "")
    return out


@pytest.fixture
def made(tmp_path: Path, cli: Cli) -> Path:
    assert cli("-w", tmp_path / "w", "init").code == 0
    return tmp_path / "w"
