"""The command line's manners: one line for every misuse, options where people put them, help at once."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest

from autointerp.version import VERSION
from tests.commands.lines import Misuse, check_misuse, one_line

Cli = Callable[..., Any]


MISUSE: Misuse = {
    "unknown command": (["lable", "--layer", "mid"], 2, ["lable"]),
}


@pytest.mark.parametrize("case", sorted(MISUSE))
def test_misuse_is_one_line_with_what_to_do(made: Path, cli: Cli, case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(made.parent)
    check_misuse(cli, made, MISUSE[case])


def commands(group: click.Group | None = None, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Every command of the tree, groups included."""
    from autointerp.cli import cli as root

    found = [path]
    known = (group or root).commands
    # Asked by name, because a command's module is imported only then.
    for name in known:
        command = known[name]
        found += commands(command, (*path, name)) if isinstance(command, click.Group) else [(*path, name)]
    return found


SETTINGS: dict[str, tuple[str, list[str]]] = {
    "unknown key": ("imagse = 5\n", ["imagse", "did you mean 'images'?"]),
    "unknown key in a table": ("[crops]\ntpo = 5\n", ["crops.tpo", "did you mean 'top'?"]),
    "zero images": ("images = 0\n", ["images", "0"]),
    "negative latents": ("[dictionary]\nlatents = -1\n", ["dictionary.latents"]),
    "a string for a number": ('images = "many"\n', ["images"]),
    "no TOML": ("images = \n", ["not valid TOML", "line 1"]),
    "unknown labeler": ('labeler = "clop"\n', ["did you mean 'clip'?"]),
    "a step that is not there": ("steps = 2\ncapture_steps = [7]\n", ["step 7"]),
    "missing prompts": ('prompts = "none.txt"\n', ["no prompts file"]),
}


@pytest.mark.parametrize("case", sorted(SETTINGS))
def test_settings_files(made: Path, cli: Cli, case: str) -> None:
    text, said = SETTINGS[case]
    (made / "autointerp.toml").write_text(text)
    done = cli("-w", made, "-q", "label", "--layer", "mid")
    one_line(done, 1, 2)
    for words in said:
        assert words in done.err
    assert not (made / "dictionaries").exists()


def test_a_binary_settings_file(made: Path, cli: Cli) -> None:
    (made / "autointerp.toml").write_bytes(b"\xff\xfe\x00")
    one_line(cli("-w", made, "status"), 1)


@pytest.mark.parametrize(
    "command", [["label", "--layer", "mid"], ["init"], ["status"], ["search", "red"]], ids=" ".join
)
def test_a_workspace_that_cannot_be_one(tmp_path: Path, cli: Cli, command: list[str]) -> None:
    (tmp_path / "file").write_text("mine")
    for path in (tmp_path / "file", tmp_path / "file" / "under", "/proc/autointerp-nowhere"):
        one_line(cli("-w", path, "-q", *command), 1, 2)
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize(
    "command", [["status"], ["search", "red"], ["show", "x:1"], ["rm", "x"], ["db", "check"]], ids=" ".join
)
def test_reading_makes_no_workspace(tmp_path: Path, cli: Cli, command: list[str]) -> None:
    done = cli("-w", tmp_path / "w", *command)
    one_line(done, 1)
    assert "autointerp init" in done.err
    assert list(tmp_path.iterdir()) == []


def test_a_database_that_is_something_else(made: Path, cli: Cli) -> None:
    (made / "autointerp.db").unlink()
    for leftover in made.glob("autointerp.db-*"):
        leftover.unlink()
    (made / "autointerp.db").write_text("dear diary")
    for command in (["status"], ["label", "--layer", "mid"], ["db", "check"]):
        done = cli("-w", made, "-q", *command)
        one_line(done, 1)
        assert "not an SQLite database" in done.err
    assert (made / "autointerp.db").read_text() == "dear diary"


def test_a_database_of_a_newer_schema(made: Path, cli: Cli) -> None:
    with sqlite3.connect(made / "autointerp.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    for command in (["status"], ["label", "--layer", "mid"], ["db", "upgrade"]):
        done = cli("-w", made, "-q", *command)
        one_line(done, 1)
        assert "newer autointerp" in done.err
        assert "upgrade autointerp" in done.err


def test_another_programs_database(made: Path, cli: Cli) -> None:
    for old in made.glob("autointerp.db*"):
        old.unlink()
    with sqlite3.connect(made / "autointerp.db") as connection:
        connection.execute("CREATE TABLE notes (text)")
    one_line(cli("-w", made, "status"), 1)


def test_verbose_shows_the_traceback(made: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "autointerp.cli", "-w", str(made), "-v", "rm", "x"], capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "Traceback" in done.stderr


@pytest.mark.parametrize("path", commands(), ids=" ".join)
def test_every_command_has_help(cli: Cli, path: tuple[str, ...]) -> None:
    for option in ("--help", "-h"):
        done = cli(*path, option)
        assert done.code == 0
        assert done.err == ""
        assert done.out.startswith(f"Usage: {' '.join(('autointerp', *path))} ")
    assert "\\b" not in done.out
    for line in done.out.splitlines():
        # An option without a word of help ends after its name.
        assert not line.strip().startswith("--") or "  " in line.strip(), line


def test_no_command_is_a_question_for_help(cli: Cli) -> None:
    done = cli()
    assert done.code == 2
    assert "Usage: autointerp" in done.out + done.err
    assert "Traceback" not in done.err


def test_version(cli: Cli) -> None:
    assert cli("--version").out == f"autointerp {VERSION}\n"


def test_help_loads_nothing_heavy() -> None:
    """`--help` is what people wait for first; how long it takes is measured by `make bench`."""
    code = "import sys; from autointerp.cli import cli; cli(['--help'], standalone_mode=False); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.startswith("Usage: ")
    loaded = set(done.stdout.splitlines()[-1].split())
    assert "autointerp.cli" in loaded
    assert not loaded & {"torch", "numpy", "faiss", "diffusers", "transformers", "openai", "sqlalchemy", "PIL"}


def test_a_reader_that_goes_away_is_no_error(tmp_path: Path) -> None:
    code = f"{sys.executable} -m autointerp.cli layers --all --json | head -n 1"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert done.stdout == "[\n"
    assert "Traceback" not in done.stderr
    assert "Exception" not in done.stderr


def test_a_fault_of_a_named_file_is_one_line(labeled: Path, tmp_path: Path, cli: Cli) -> None:
    done = cli("-w", labeled, "export", "--layer", "mid", "-o", tmp_path / ("a" * 300))
    assert (done.code, done.out, done.err.count("\n")) == (1, "", 1)
    assert "File name too long" in done.err
