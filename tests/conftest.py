"""What several rooms' tests share: the command line called in process, and one small workspace made by it for real."""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import io
import os
import shutil
import sqlite3
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

# The number of threads changes float32 sums, so the tests run their models with one, in every process. Set before
# torch is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")

SETTINGS = """\
model = "shapes-turbo"
labeler = "clip"
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


def _module(name: str, path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


HERE = Path(__file__).parent
throwaway = _module("throwaway_postgres", HERE.parent / "benchmarks" / "postgres.py")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--database",
        choices=["sqlite", "postgresql"],
        default="sqlite",
        help="Where the tests' workspaces have their rows; postgresql starts a server of its own.",
    )

    parser.addoption(
        "--chromium", action="store_true", help="Also run what a browser shows; fails where there is none."
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "sqlite: about SQLite's file, so it is skipped with --database postgresql")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--database") == "postgresql":
        for item in items:
            if item.get_closest_marker("sqlite"):
                item.add_marker(pytest.mark.skip(reason="about SQLite's file"))


@pytest.fixture(scope="session")
def server(pytestconfig: pytest.Config) -> Iterator[Any]:
    """A PostgreSQL server of the tests' own."""
    try:
        running = throwaway.Server()
    except throwaway.Unavailable as error:
        if pytestconfig.getoption("--database") == "postgresql":
            raise
        pytest.skip(str(error))
    yield running
    running.remove()


@pytest.fixture(scope="module")
def chromium(pytestconfig: pytest.Config) -> Iterator[Any]:
    """The system's Chromium, driven by Playwright's client, which then needs no browser of its own.

    Its loop of events counts as running while it is there, so it goes with its module.
    """
    if not pytestconfig.getoption("--chromium"):
        pytest.skip("with --chromium")
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    missing = None if program else "there is no chromium (Debian: apt-get install chromium)"
    missing = missing or (None if importlib.util.find_spec("playwright") else "there is no playwright")
    if program is None or missing:
        pytest.fail(str(missing))
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        # The sandbox does not work for root, as which containers run.
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


class Sqlite:
    """Reads and copies workspaces whose database is a file in them."""

    def ask(self, workspace: Path, query: str, *values: Any) -> list[Any]:
        """The rows of one query."""
        with contextlib.closing(sqlite3.connect(workspace / "autointerp.db")) as db:
            return db.execute(query, values).fetchall()

    def tables(self, workspace: Path) -> list[str]:
        found = self.ask(workspace, "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")
        return [name for (name,) in found]

    def copy(self, source: Path, target: Path) -> Path:
        """A copy of a workspace, to do anything with."""
        return Path(shutil.copytree(source, target))


class PostgreSQL(Sqlite):
    """The same of workspaces that each have a database on one server."""

    def __init__(self, server: Any, workspaces: Any) -> None:
        self.server, self.workspaces = server, workspaces

    def ask(self, workspace: Path, query: str, *values: Any) -> list[Any]:
        with throwaway.connect(self.workspaces.url_of(workspace)) as connection:
            given = (query.replace("?", "%s"), values) if values else (query.encode(),)
            return connection.execute(*given).fetchall()

    def tables(self, workspace: Path) -> list[str]:
        query = "SELECT tablename FROM pg_tables WHERE schemaname = current_schema() ORDER BY 1"
        return [name for (name,) in self.ask(workspace, query)]

    def copy(self, source: Path, target: Path) -> Path:
        self.server.create(self.workspaces.database_of(target), template=self.workspaces.database_of(source))
        return super().copy(source, target)


@pytest.fixture(scope="session")
def databases(request: pytest.FixtureRequest) -> Iterator[Sqlite]:
    """What reads and copies workspaces; with `--database postgresql` every workspace is there from now on."""
    if request.config.getoption("--database") == "sqlite":
        yield Sqlite()
        return
    server = request.getfixturevalue("server")
    folder = HERE / "postgresql"
    workspaces = _module("workspaces", folder / "workspaces.py")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(workspaces.SERVER, server.url("postgres"))
        patch.setenv("PYTHONPATH", str(folder), prepend=os.pathsep)
        undo = workspaces.take_over()
        yield PostgreSQL(server, workspaces)
        undo()


@pytest.fixture(autouse=True)
def _no_databases_left(request: pytest.FixtureRequest, databases: Sqlite) -> Iterator[None]:
    """What a test made on the server goes with it."""
    if not isinstance(databases, PostgreSQL):
        yield
        return
    before = databases.server.databases()
    yield
    for name in databases.server.databases() - before:
        if name.startswith("w_"):
            databases.server.drop(name)


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Path]:
    """The file of a database with the newest schema and no rows, made on first use."""

    @functools.cache
    def make() -> Path:
        from autointerp.db.engine import Database
        from autointerp.db.upgrade import upgrade_schema

        database = Database(tmp_path_factory.mktemp("schema") / "empty.db")
        upgrade_schema(database.engine, database.where)
        database.close()
        assert database.path is not None
        return database.path

    return make


@pytest.fixture(autouse=True)
def new_files_are_copies(empty_database: Callable[[], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """A new SQLite file gets its schema by a copy, in a tenth of the time of all migrations; tests/db runs those."""
    from autointerp.db import engine as module

    migrate = module.upgrade_schema

    def upgrade(engine: Any, where: str) -> bool:
        if engine.dialect.name == "sqlite":
            with engine.connect() as connection:
                if connection.exec_driver_sql("SELECT 1 FROM sqlite_master").first() is None:
                    with contextlib.closing(sqlite3.connect(empty_database())) as source:
                        source.backup(connection.connection.driver_connection)
                    return True
        return migrate(engine, where)

    monkeypatch.setattr(module, "upgrade_schema", upgrade)


@pytest.fixture(scope="session")
def cli() -> Callable[..., Outcome]:
    return call


@pytest.fixture(scope="session")
def rows(databases: Sqlite) -> Callable[[Path], dict[str, list[Any]]]:
    """Every row of every table of a workspace's database."""

    def read(workspace: Path) -> dict[str, list[Any]]:
        return {
            name: databases.ask(workspace, f'SELECT * FROM "{name}" ORDER BY 1') for name in databases.tables(workspace)
        }

    return read


@pytest.fixture(scope="session")
def query(databases: Sqlite) -> Callable[..., list[Any]]:
    """The rows of one query to a workspace's database."""
    return databases.ask


@pytest.fixture(scope="session")
def small_parts() -> Iterator[None]:
    """Checkpoints after a few images instead of hundreds, and models that are loaded once."""
    from functools import cache

    from autointerp.diffusion import loading
    from autointerp.search import embedders
    from autointerp.stages.harvest import harvesting as harvest

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(harvest, "CHECKPOINT_IMAGES", CHECKPOINT_IMAGES)
        patch.setattr(loading, "load_model", cache(loading.load_model))
        patch.setattr(embedders, "load_embedder", cache(embedders.load_embedder))
        yield


@pytest.fixture(scope="session")
def fitted(tmp_path_factory: pytest.TempPathFactory, small_parts: None, databases: Sqlite) -> Path:
    """A workspace after `autointerp fit --layer mid`; nobody may change it."""
    path = tmp_path_factory.mktemp("fitted") / "w"
    path.mkdir()
    (path / "autointerp.toml").write_text(SETTINGS)
    done = call("-w", path, "-q", "fit", "--layer", "mid")
    assert (done.code, done.err) == (0, "")
    return path


@pytest.fixture(scope="session")
def labeled(fitted: Path, tmp_path_factory: pytest.TempPathFactory, databases: Sqlite) -> Path:
    """That workspace after `autointerp label --layer mid`; nobody may change it, see `workspace`."""
    path = databases.copy(fitted, tmp_path_factory.mktemp("labeled") / "w")
    done = call("-w", path, "-q", "label", "--layer", "mid")
    assert (done.code, done.err) == (0, "")
    return path


@pytest.fixture(scope="session")
def cells() -> dict[str, Any]:
    """What is true of the cells of sixty rendered scenes, by attribute: int64 [60, 12, 12]."""
    import numpy as np

    from autointerp.shapes.scenes import render, sample_scene

    rng = np.random.default_rng(0)
    read = [render(sample_scene(rng)).cells() for _ in range(60)]
    return {name: np.stack([one[name] for one in read]) for name in read[0]}


@pytest.fixture
def workspace(labeled: Path, tmp_path: Path, databases: Sqlite) -> Path:
    """A copy of the labeled workspace, to do anything with."""
    return databases.copy(labeled, tmp_path / "w")


@pytest.fixture(scope="session")
def scripted() -> Any:
    """The module of the scripted OpenAI server."""
    return _module("scripted_openai_server", HERE / "labeling" / "openai_server.py")


@pytest.fixture
def vlm_server(scripted: Any) -> Iterator[Any]:
    with scripted.ScriptedServer() as running:
        yield running


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """A workspace with nothing in it."""
    assert call("-w", tmp_path / "w", "init").code == 0
    assert call("-w", tmp_path / "w", "status").code == 0
    return tmp_path / "w"


@pytest.fixture
def run(workspace: Path, cli: Callable[..., Outcome]) -> Callable[..., Outcome]:
    """The command line on a labeled workspace."""
    return lambda *more: cli("-w", workspace, *more)


@pytest.fixture
def live(workspace: Path, query: Callable[..., list[Any]]) -> list[int]:
    """Latents that the labeler `clip` named."""
    named = query(
        workspace,
        "SELECT f.latent_index FROM features f JOIN labels l ON l.feature_id = f.id WHERE l.status = 'ok' ORDER BY 1",
    )
    return [latent for (latent,) in named]
