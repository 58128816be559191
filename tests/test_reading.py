"""Commands that read work in a workspace that may not be written to, and change nothing there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.unwritable import read_only, run_as_others

pytestmark = pytest.mark.sqlite

NAME = "shapes-turbo.mid.topk"
RUN = """
import contextlib, io, json, sys
from autointerp.cli import main
for command in json.loads(sys.argv[2]):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main(["-w", sys.argv[1], *command])
        except SystemExit as ended:
            code = ended.code
    print(json.dumps([code, out.getvalue(), err.getvalue()]))
"""


def outcomes(workspace: Path, commands: list[list[str]], folder: Path) -> list[tuple[list[str], int, str, str]]:
    """Run commands, one after another, in one process for which rights to files count."""
    done = run_as_others("-c", RUN, workspace, json.dumps(commands), cwd=folder)
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    return [(command, *outcome) for command, outcome in zip(commands, found, strict=True)]


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


READING = [
    ["status"],
    ["status", "--json"],
    ["layers"],
    ["show", f"{NAME}:0"],
    ["show", f"{NAME}:0", "--crops", "crops"],
    ["labels", "list"],
    ["labels", "export", "labels.csv"],
    ["search", "red"],
    ["compare", NAME, NAME],
    ["explain", "a red circle"],
    ["export", "--layer", "mid", "-o", "bundle"],
    ["export", "--layer", "mid", "--format", "jsonl", "-o", "rows"],
    ["db", "path"],
    ["db", "check"],
    ["db", "upgrade"],
    ["db", "backup", "copy.db"],
    ["label", "--layer", "mid", "--dry-run"],
]
WRITING = [
    ["label", "--layer", "mid", "--labeler", "prompts"],
    ["label", "--feature", f"{NAME}:0", "--name", "red"],
    ["score", "--layer", "mid"],
    ["evaluate", "--layer", "mid"],
    ["fit", "--layer", "late"],
    ["rm", NAME],
    ["labels", "import", "labels.csv"],
]


@pytest.mark.parametrize("logs", [False, True], ids=["closed", "stopped"])
def test_what_reads_works_and_what_writes_says_so(workspace: Path, tmp_path: Path, logs: bool) -> None:
    import sqlite3

    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    kept = sqlite3.connect(workspace / "autointerp.db")
    kept.execute("PRAGMA journal_mode = WAL")
    if not logs:
        kept.close()
    else:
        # An open connection keeps the log where it is, as a process that was killed leaves it.
        kept.execute("UPDATE labels SET confidence = confidence")
        kept.commit()
        assert (workspace / "autointerp.db-wal").stat().st_size
    before = content(workspace)
    with read_only(workspace):
        done = outcomes(workspace, READING + WRITING, elsewhere)
    for command, code, out, err in done[: len(READING)]:
        assert code == 0, (command, err)
        assert out or command == ["db", "check"], command
        assert "error" not in err
    for command, code, out, err in done[len(READING) :]:
        assert (code, out, err.count("\n")) == (1, "", 1), (command, err)
        assert "cannot be written" in err
    after = content(workspace)
    kept.close()
    # Readers leave their marks in the index of a log that is in use.
    assert {**before, "autointerp.db-shm": b""} == {**after, "autointerp.db-shm": b""}
    assert (elsewhere / "copy.db").stat().st_size == pytest.approx(
        (workspace / "autointerp.db").stat().st_size, rel=0.3
    )


def test_a_workspace_without_a_database_reads_as_empty(tmp_path: Path) -> None:
    workspace = tmp_path / "w"
    workspace.mkdir()
    (workspace / "autointerp.toml").write_text("images = 40\n")
    commands = [["status"], ["status", "--json"], ["labels", "list"], ["show", f"{NAME}:0"], ["fit", "--layer", "mid"]]
    with read_only(workspace):
        status, as_json, labels, show, fit = outcomes(workspace, commands, tmp_path)
    assert "no dictionaries yet" in status[2]
    assert json.loads(as_json[2])["dictionaries"] == []
    assert labels[1] == 0
    assert (show[1], show[3].count("\n")) == (2, 1)
    assert (fit[1], fit[3].count("\n")) == (1, 1)
    assert "cannot be written" in fit[3]
    assert [path.name for path in workspace.iterdir()] == ["autointerp.toml"]
