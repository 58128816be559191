"""Several processes harvest what one would."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

# Not imported here: the commands do that, and say first how it is to be run.
pytestmark = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs the extra autointerp[ray]")


@pytest.fixture(autouse=True)
def _ray_at_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Make shards of one batch, and notice anything that a run writes into a home folder."""
    from autointerp.stages.harvest import batches

    monkeypatch.syspath_prepend(str(Path(__file__).parents[3]))
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setattr(batches, "SHARD_IMAGES", 8)
    yield
    assert not list(home.iterdir())


@pytest.fixture
def path(fitted: Path, tmp_path: Path, databases: Any) -> Path:
    """A workspace with the dictionary of `labeled`, and nothing harvested."""
    copied: Path = databases.copy(fitted, tmp_path / "w")
    return copied


def test_two_workers_give_the_rows_of_one_process_and_one_may_die(
    labeled: Path, path: Path, cli: Callable[..., Any], query: Callable[..., list[Any]], monkeypatch: Any
) -> None:
    from autointerp.stages.harvest import harvesting as harvest
    from autointerp.stages.harvest.workers import Workers

    real, killed = Workers.gather, []
    listening: set[str] = set()

    def killing(self: Workers, shards: Any) -> Any:
        for number, found in enumerate(real(self, shards)):
            yield found
            if number == 1:
                listening.update(_listening_addresses())
                killed.append(_worker_processes()[0])
                os.kill(killed[0], signal.SIGKILL)

    monkeypatch.setattr(Workers, "gather", killing)
    monkeypatch.setattr(harvest, "CHECKPOINT_IMAGES", 16)
    done = cli("-w", path, "harvest", "--layer", "mid", "--workers", "2")
    assert done.code == 0, done.err
    assert listening == {"127.0.0.1"}
    assert "a worker died: its images are given to another" in done.err
    from benchmarks.kills import harvested_rows

    one, other = harvested_rows(labeled, query), harvested_rows(path, query)
    for table in one:
        assert one[table] == other[table], table
    assert len(one["crops"]) > 200
    assert not _worker_processes()


def test_workers_that_were_stopped_are_gone_on_with_by_one_process(
    labeled: Path, path: Path, cli: Callable[..., Any], query: Callable[..., list[Any]], monkeypatch: Any
) -> None:
    from autointerp.stages.harvest import harvesting as harvest
    from autointerp.stages.harvest.workers import Workers

    real = Workers.gather

    def stopping(self: Workers, shards: Any) -> Any:
        # The last shard first: what is left lies before it.
        for number, found in enumerate(real(self, shards[::-1])):
            if number == 3:
                raise KeyboardInterrupt
            yield found

    with monkeypatch.context() as patch:
        patch.setattr(Workers, "gather", stopping)
        patch.setattr(harvest, "CHECKPOINT_IMAGES", 8)
        ended = cli("-w", path, "harvest", "--layer", "mid", "--workers", "1")
    assert ended.code == 130, ended.err
    assert query(path, "SELECT status, done FROM runs WHERE kind = 'harvest'") == [("interrupted", 24)]
    assert cli("-w", path, "harvest", "--layer", "mid").code == 0
    from benchmarks.kills import harvested_rows

    one, other = harvested_rows(labeled, query), harvested_rows(path, query)
    for table in one:
        assert one[table] == other[table], table


def test_a_cluster_that_is_not_there_is_one_line(path: Path, cli: Callable[..., Any]) -> None:
    done = cli("-w", path, "-q", "harvest", "--layer", "mid", "--ray", "127.0.0.1:1")
    assert done.code == 1
    assert done.err.startswith("error: there is no Ray cluster at 127.0.0.1:1")
    assert done.err.count("\n") == 1
    assert "ray start --head" in done.err


def test_without_ray_the_extra_is_named(
    workspace: Path, cli: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "ray", None)
    done = cli("-w", workspace, "-q", "harvest", "--layer", "mid", "--top", "4", "--workers", "2")
    assert done.code == 2
    assert "pip install 'autointerp[ray]'" in done.err
    assert done.err.count("\n") == 1


def _listening_addresses() -> set[str]:
    """Addresses at which this process and those that it started wait for connections."""
    import psutil

    me = psutil.Process()
    found = set()
    for process in (me, *me.children(recursive=True)):
        with contextlib.suppress(psutil.Error):
            found |= {c.laddr.ip for c in process.net_connections("tcp") if c.status == psutil.CONN_LISTEN}
    return {address.removeprefix("::ffff:") for address in found}


def _worker_processes() -> list[int]:
    """Processes below this one that Ray runs workers in."""
    import psutil

    found = []
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if " ".join(process.cmdline()).startswith("ray::ShardWorker"):
                found.append(process.pid)
    return found


@pytest.mark.parametrize(
    ("device", "gpus", "there"),
    [("cuda:1", 2, "cuda"), ("auto", 2, "cuda"), ("xpu:1", 2, "xpu"), ("auto", 0, "auto"), ("cpu", 2, "cpu")],
)
def test_workers_get_the_settings_without_the_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, device: str, gpus: int, there: str
) -> None:
    """Each sees its own GPU alone; and a password is nobody's but the writer's."""
    from types import SimpleNamespace

    from autointerp.project.context import Context
    from autointerp.project.settings import Settings
    from autointerp.project.workspace import WorkspaceFolder
    from autointerp.stages.harvest import cluster
    from autointerp.stages.harvest.workers import Workers

    sent: list[Any] = []
    remote = SimpleNamespace(remote=lambda task: SimpleNamespace())
    ray = SimpleNamespace(
        cluster_resources=lambda: {"CPU": 4, "GPU": gpus},
        put=sent.append,
        remote=lambda **options: lambda kind: remote,
        kill=lambda actor: None,
        shutdown=lambda: None,
    )
    monkeypatch.setattr(cluster, "start_local", lambda workers: ray)
    settings = Settings(device=device, size="64x32", database="postgresql+psycopg://me:secret@host/x")
    with Workers(Context(WorkspaceFolder(tmp_path, settings)), [], 2):
        got = Settings.from_values(sent[0].settings)
    assert "secret" not in str(sent[0])
    assert got == settings.model_copy(update={"device": there, "database": None})


def test_a_single_worker_has_the_threads_of_this_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The number of threads changes float32 sums, so it must be the same for the same rows."""
    from types import SimpleNamespace

    import torch

    from autointerp.project.context import Context
    from autointerp.project.settings import Settings
    from autointerp.project.workspace import WorkspaceFolder
    from autointerp.stages.harvest import cluster
    from autointerp.stages.harvest.workers import Workers

    sent: list[Any] = []
    ray = SimpleNamespace(
        cluster_resources=lambda: {"CPU": 16},
        put=sent.append,
        remote=lambda **options: lambda kind: SimpleNamespace(remote=lambda setup: SimpleNamespace()),
        kill=lambda actor: None,
        shutdown=lambda: None,
    )
    monkeypatch.setattr(cluster, "start_local", lambda workers: ray)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 6)
    for count in (1, 2, 8):
        with Workers(Context(WorkspaceFolder(tmp_path, Settings())), [], count):
            pass
    assert [setup.threads for setup in sent] == [6, 3, 1]
