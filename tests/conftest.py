"""What several rooms' tests share: the command line called in process, and one small workspace made by it for real."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import shutil
import sqlite3
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

SETTINGS = """\
images = 40
fit_images = 13
evaluate_images = 12
steps = 2
capture_steps = [1]
batch_size = 8
dtype = "float32"

[dictionary]
latents = 64
k = 2
passes = 2
buffer = 576

[crops]
top = 6
quantile = 4
negatives = 6
"""
ROUND_IMAGES, CHECKPOINT_IMAGES = 4, 16  # the first follows from `buffer`: 144 cells an image


@dataclass(frozen=True)
class Outcome:
    """What a command left behind."""

    code: int
    out: str
    err: str


def call(*arguments: object) -> Outcome:
    """Run `autointerp ARGUMENTS` in this process."""
    from autointerp.cli import main

    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), pytest.raises(SystemExit) as ended:
        main([str(a) for a in arguments])
    code = ended.value.code
    return Outcome(code if isinstance(code, int) else 0, out.getvalue(), err.getvalue())


def all_rows(workspace: Path) -> dict[str, list[Any]]:
    """Every row of every table of a workspace's database."""
    with contextlib.closing(sqlite3.connect(workspace / "autointerp.db")) as db:
        names = [n for (n,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")]
        return {name: db.execute(f'SELECT * FROM "{name}" ORDER BY 1').fetchall() for name in names}


def ask(workspace: Path, query: str, *values: Any) -> list[Any]:
    """The rows of one query."""
    with contextlib.closing(sqlite3.connect(workspace / "autointerp.db")) as db:
        return db.execute(query, values).fetchall()


@pytest.fixture(scope="session")
def cli() -> Callable[..., Outcome]:
    return call


@pytest.fixture(scope="session")
def rows() -> Callable[[Path], dict[str, list[Any]]]:
    return all_rows


@pytest.fixture(scope="session")
def query() -> Callable[..., list[Any]]:
    return ask


@pytest.fixture(scope="session")
def small_parts() -> Iterator[None]:
    """Checkpoints after a few images instead of hundreds, and models that are loaded once."""
    from functools import cache

    from autointerp.diffusion import loading
    from autointerp.search import embedders
    from autointerp.stages import harvest

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(harvest, "CHECKPOINT_IMAGES", CHECKPOINT_IMAGES)
        patch.setattr(loading, "load_model", cache(loading.load_model))
        patch.setattr(embedders, "load_embedder", cache(embedders.load_embedder))
        yield


@pytest.fixture(scope="session")
def labeled(tmp_path_factory: pytest.TempPathFactory, small_parts: None) -> Path:
    """A workspace after `autointerp label --layer mid`; nobody may change it, see `workspace`."""
    path = tmp_path_factory.mktemp("labeled") / "w"
    path.mkdir()
    (path / "autointerp.toml").write_text(SETTINGS)
    done = call("-w", path, "-q", "label", "--layer", "mid")
    assert (done.code, done.err) == (0, "")
    return path


@pytest.fixture
def workspace(labeled: Path, tmp_path: Path) -> Path:
    """A copy of the labeled workspace, to do anything with."""
    return Path(shutil.copytree(labeled, tmp_path / "w"))


def _module(name: str, path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def scripted() -> Any:
    """The module of the scripted OpenAI server."""
    return _module("scripted_openai_server", Path(__file__).parent / "labeling" / "openai_server.py")


@pytest.fixture
def vlm_server(scripted: Any) -> Iterator[Any]:
    with scripted.ScriptedServer() as running:
        yield running
