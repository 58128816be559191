"""Killed, interrupted or run twice at once: it goes on where it was and ends in the same rows."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest


@dataclass(frozen=True)
class Ended:
    """How a process ended: its exit code, or the signal below 0, and what it wrote to stderr."""

    returncode: int
    stderr: str


def run_until_stopped(workspace: Path, what: str, batches: int, number: int, command: tuple[str, ...]) -> int:
    """Run a command in this process, which sends itself a signal after so many batches of `fit` or `harvest`."""
    from autointerp.cli import main
    from autointerp.diffusion import generation

    # A suite that runs in the background has inherited that Ctrl-C is ignored; a person's terminal has not.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    real, seen = generation.generate, 0

    def stopping(*args: Any, **kwargs: Any) -> Any:
        nonlocal seen
        for batch in real(*args, **kwargs):
            seen += kwargs.get("decode", True) == (what == "harvest")
            if seen > batches:
                os.kill(os.getpid(), number)
            yield batch

    generation.generate = stopping
    try:
        main(["-w", str(workspace), *command])
    except SystemExit as ended:
        return int(ended.code or 0)
    return 0


def stopped(workspace: Path, what: str, batches: int, number: int, *command: str) -> Ended:
    """Run a command that a signal reaches after so many batches, in a process forked off this one.

    A fork has what this process has imported and loaded, which takes a new process seconds.
    """
    with tempfile.TemporaryFile() as said:
        child = os.fork()
        if not child:
            code = 70
            try:
                os.dup2(said.fileno(), 2)
                sys.stdout, sys.stderr = open(os.devnull, "w"), open(2, "w", closefd=False)  # noqa: SIM115
                code = run_until_stopped(workspace, what, batches, number, command)
                sys.stderr.flush()
            except BaseException:
                traceback.print_exc()
                sys.stderr.flush()
                raise
            finally:
                os._exit(code)
        _, status = os.waitpid(child, 0)
        said.seek(0)
        return Ended(os.waitstatus_to_exitcode(status), said.read().decode())


def content(query: Callable[..., list[Any]], path: Path) -> dict[str, list[Any]]:
    """All that a workspace says, by what it is about: without ids and times, which tell when, not what."""
    feature = "JOIN features f ON f.id = {0}.feature_id"
    return {
        "dictionaries": query(path, "SELECT name, identity, weights_sha256, fvu, l0, config FROM dictionaries"),
        "images": query(
            path, "SELECT generation_hash, image_index, prompt, seed, picture, width FROM images ORDER BY 1"
        ),
        "features": query(
            path,
            "SELECT latent_index, density, max_activation, mean_activation, state, histogram, steps, neighbours"
            " FROM features ORDER BY latent_index",
        ),
        "crops": query(
            path,
            "SELECT f.latent_index, i.generation_hash, step, timestep, row, col, box_left, box_top, box_right,"
            " box_bottom, activation, activation_map, rank, quantile, role, split, neighbour"
            f" FROM crops c {feature.format('c')} JOIN images i ON i.id = c.image_id ORDER BY 1, 2",
        ),
        "labels": query(
            path,
            "SELECT latent_index, status, l.name, explanation, confidence FROM labels l"
            f" {feature.format('l')} ORDER BY 1",
        ),
        "scores": query(
            path,
            "SELECT latent_index, method, value, ci_low, ci_high, note FROM scores s JOIN labels l ON l.id = s.label_id"
            f" {feature.format('l')} ORDER BY 1",
        ),
        "runs": query(
            path,
            "SELECT kind, identity, status, done, total, error FROM runs ORDER BY id",
        ),
        "results": [
            {key: value for key, value in json.loads(result).items() if key != "fit_seconds"}
            for (result,) in query(path, "SELECT result FROM runs ORDER BY id")
        ],
    }


def test_any_stop_leads_to_the_same_rows(
    labeled: Path, tmp_path: Path, cli: Callable[..., Any], query: Callable[..., list[Any]]
) -> None:
    path = tmp_path / "w"
    path.mkdir()
    shutil.copy(labeled / "autointerp.toml", path)
    label = ("label", "--layer", "mid")

    killed = stopped(path, "fit", 2, signal.SIGKILL, *label)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert query(path, "SELECT kind, status, done FROM runs") == [("fit", "running", 8)]
    assert not query(path, "SELECT 1 FROM dictionaries")

    killed = stopped(path, "harvest", 3, signal.SIGKILL, *label)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert query(path, "SELECT kind, status, done FROM runs") == [("fit", "done", 13), ("harvest", "running", 16)]
    assert query(path, "SELECT weights_sha256 FROM dictionaries") == query(
        labeled, "SELECT weights_sha256 FROM dictionaries"
    )
    assert not query(path, "SELECT 1 FROM crops")
    assert 0 < len(query(path, "SELECT 1 FROM images")) <= 16

    # The second one starts at image 16, so that two batches lead to the next checkpoint.
    ended = stopped(path, "harvest", 2, signal.SIGINT, *label)
    assert ended.returncode == 130, ended.stderr
    assert ended.stderr.splitlines()[-1].startswith("interrupted:")
    assert "Traceback" not in ended.stderr
    assert query(path, "SELECT status, done FROM runs WHERE kind = 'harvest'") == [("interrupted", 32)]

    assert cli("-w", path, *label).code == 0
    one, other = content(query, labeled), content(query, path)
    for table in one:
        assert one[table] == other[table], table
    assert len(one["crops"]) > 200
    assert len(one["labels"]) > 20


def test_a_stopped_fit_is_not_taken_up_by_another(
    labeled: Path, tmp_path: Path, cli: Callable[..., Any], query: Callable[..., list[Any]]
) -> None:
    path = tmp_path / "w"
    path.mkdir()
    shutil.copy(labeled / "autointerp.toml", path)
    # It stops under the name that the next one takes.
    killed = stopped(path, "fit", 2, signal.SIGKILL, "fit", "--layer", "mid", "--seed", "7")
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert cli("-w", path, "fit", "--layer", "mid").code == 0
    digest = "SELECT name, weights_sha256 FROM dictionaries"
    assert query(path, digest) == query(labeled, digest)


def test_labeling_stopped_goes_on_with_the_next_feature(
    workspace: Path, cli: Callable[..., Any], query: Callable[..., list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    from autointerp.stages.label import labeling as stage

    expected = cli("-w", workspace, "label", "--layer", "mid", "--labeler", "prompts", "--dry-run").out
    kept: list[int] = []
    real = stage._keep

    def stop(ctx: Any, labeler_id: int, result: Any) -> None:
        if len(kept) == 5:
            raise KeyboardInterrupt
        kept.append(result.feature_id)
        real(ctx, labeler_id, result)

    count = (
        "SELECT feature_id FROM labels l JOIN labelers r ON r.id = l.labeler_id WHERE r.kind = 'prompts' ORDER BY l.id"
    )
    with monkeypatch.context() as patch:
        patch.setattr(stage, "_keep", stop)
        ended = cli("-w", workspace, "label", "--layer", "mid", "--labeler", "prompts")
    assert ended.code == 130
    assert query(workspace, count) == [(i,) for i in kept]
    assert len(kept) == 5
    assert cli("-w", workspace, "label", "--layer", "mid", "--labeler", "prompts").code == 0
    everyone = [i for (i,) in query(workspace, count)]
    assert everyone[:5] == kept
    assert len(set(everyone)) == len(everyone)
    assert f"{len(everyone)} features by prompts" in expected


def test_the_second_process_is_told_who_writes(workspace: Path, cli: Callable[..., Any]) -> None:
    code = (
        "import sys, time; from autointerp.project.workspace import WorkspaceFolder\n"
        f"with WorkspaceFolder({str(workspace)!r}).lock():\n"
        "    print('in', flush=True); time.sleep(120)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        try:
            assert holder.stdout.readline() == "in\n"
            for command in (
                ["label", "--layer", "mid"],
                ["rm", "shapes-turbo.mid.topk"],
                ["harvest", "--layer", "mid"],
            ):
                extra = ["--top", "4"] if command[0] == "harvest" else []
                refused = cli("-w", workspace, *command, *extra)
                assert refused.code == 1
                assert f"being written by process {holder.pid}" in refused.err.splitlines()[-1]
            # Reading goes on meanwhile.
            assert cli("-w", workspace, "status").code == 0
            assert cli("-w", workspace, "show", "shapes-turbo.mid.topk:0").code == 0
        finally:
            holder.kill()
    assert cli("-w", workspace, "label", "--layer", "mid").code == 0


@pytest.mark.sqlite
def test_a_full_disk_is_one_line_and_loses_nothing(
    workspace: Path,
    cli: Callable[..., Any],
    rows: Callable[[Path], Any],
    query: Callable[..., list[Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from autointerp.db import connections

    # Pages that a checkpoint left free would take the labels yet.
    query(workspace, "VACUUM")
    before = rows(workspace)
    real = connections.set_pragmas

    def small(connection: Any) -> None:
        real(connection)
        cursor = connection.cursor()
        # SQLite then says of its own what it says on a full disk.
        (pages,) = cursor.execute("PRAGMA page_count").fetchone()
        cursor.execute(f"PRAGMA max_page_count = {pages}")
        cursor.close()

    with monkeypatch.context() as patch:
        patch.setattr(connections, "set_pragmas", small)
        done = cli("-w", workspace, "-q", "label", "--layer", "mid", "--labeler", "prompts")
    assert done.code == 1
    assert done.err.startswith("error: the disk is full while writing")
    assert done.err.count("\n") == 1
    after = rows(workspace)
    assert {k: v for k, v in after.items() if k in ("crops", "features", "images", "scores")} == {
        k: v for k, v in before.items() if k in ("crops", "features", "images", "scores")
    }
    assert after["labels"][: len(before["labels"])] == before["labels"]
    assert cli("-w", workspace, "label", "--layer", "mid", "--labeler", "prompts").code == 0
    assert cli("-w", workspace, "db", "check").code == 0


@pytest.mark.sqlite
def test_a_checkpoint_that_finds_the_disk_full_leaves_the_one_before(
    labeled: Path,
    fitted: Path,
    tmp_path: Path,
    databases: Any,
    cli: Callable[..., Any],
    query: Callable[..., list[Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from sqlalchemy import text

    from autointerp.stages.harvest import harvesting as harvest

    path = databases.copy(fitted, tmp_path / "w")
    real, made = harvest.HarvestPass.checkpoint, []

    def second_is_too_large(self: Any) -> None:
        made.append(self.harvests[0].taken_in.count)
        if len(made) == 2:
            with self.ctx.db.session() as session:
                pages = session.scalar(text("PRAGMA page_count"))
                # A limit of the connection, which the pool keeps: SQLite then says what it says on a full disk.
                session.execute(text(f"PRAGMA max_page_count = {pages + 1}"))
        real(self)

    with monkeypatch.context() as patch:
        patch.setattr(harvest.HarvestPass, "checkpoint", second_is_too_large)
        done = cli("-w", path, "-q", "harvest", "--layer", "mid")
    assert done.code == 1
    assert made == [16, 32]
    assert done.err.startswith("error: the disk is full while writing")
    assert done.err.count("\n") == 1
    assert query(path, "SELECT done FROM runs WHERE kind = 'harvest'") == [(16,)]
    ((counts,),) = query(path, "SELECT data FROM checkpoints WHERE name = 'counts'")
    assert np.frombuffer(counts, np.int64)[0] == 16
    assert 0 < len(query(path, "SELECT 1 FROM images")) <= 16
    assert cli("-w", path, "db", "check").code == 0
    # It goes on from there to the same rows.
    assert cli("-w", path, "-q", "harvest", "--layer", "mid").code == 0
    one, other = content(query, labeled), content(query, path)
    assert all(one[table] == other[table] for table in one if table not in ("labels", "scores"))


@pytest.mark.parametrize(
    ("file", "command"),
    [
        ("dictionaries/shapes-turbo.mid.topk-2/fit.checkpoint.part", ["fit", "--latents", "40"]),
        ("dictionaries/shapes-turbo.mid.topk-2/weights.safetensors.part", ["fit", "--latents", "40"]),
        ("indexes/shapes-turbo.mid.topk.crops.faiss.part", ["label"]),
    ],
)
def test_a_disk_that_is_full_for_one_file(
    workspace: Path, cli: Callable[..., Any], file: str, command: list[str]
) -> None:
    target = workspace / file
    target.parent.mkdir(exist_ok=True)
    target.symlink_to("/dev/full")
    for index in (workspace / "indexes").glob("*.crops.faiss"):
        index.unlink()
    done = cli("-w", workspace, "-q", *command, "--layer", "mid")
    assert done.code == 1, done
    assert done.err.startswith("error: ")
    assert done.err.count("\n") == 1
    assert "free s" in done.err
    target.unlink(missing_ok=True)
    assert cli("-w", workspace, "-q", *command, "--layer", "mid").code == 0


@pytest.mark.sqlite
def test_a_file_that_cannot_grow_is_one_line(workspace: Path) -> None:
    code = (
        "import resource, signal, sys\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))\n"
        "from autointerp.cli import main\n"
        "main(sys.argv[1:])"
    )
    given = ["-w", str(workspace), "-q", "label", "--layer", "mid", "--labeler", "prompts"]
    done = subprocess.run([sys.executable, "-c", code, *given], capture_output=True, text=True)
    assert done.returncode == 1, done.stderr
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1


def test_several_fits_that_were_killed_go_on_together(
    labeled: Path, tmp_path: Path, cli: Callable[..., Any], query: Callable[..., list[Any]]
) -> None:
    fit = ("fit", "--layer", "mid", "--layer", "late", "--kind", "itda", "--kind", "jumprelu")
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    for path in (whole, killed):
        path.mkdir()
        shutil.copy(labeled / "autointerp.toml", path)
    assert cli("-w", whole, *fit).code == 0
    ended = stopped(killed, "fit", 2, signal.SIGKILL, *fit)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    assert query(killed, "SELECT kind, status, done FROM runs") == [("fit", "running", 8)] * 4
    # One of them is further than the others, as it is where a kill hits between two checkpoints.
    shutil.rmtree(killed / "dictionaries" / "shapes-turbo.late.itda")
    again = cli("-w", killed, *fit)
    assert again.code == 0, again.err
    digests = "SELECT name, weights_sha256 FROM dictionaries ORDER BY name"
    assert query(killed, digests) == query(whole, digests)
    assert len(query(whole, digests)) == 4
