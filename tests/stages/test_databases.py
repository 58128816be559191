"""A workspace moved to a server and back from the command line: the same answers, and one writer from anywhere."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

NAME = "shapes-turbo.mid.topk"
Cli = Callable[..., Any]


def name_database(workspace: Path, line: str) -> None:
    settings = workspace / "autointerp.toml"
    kept = [old for old in settings.read_text().splitlines() if not old.startswith("database = ")]
    settings.write_text("\n".join([line, *kept]) + "\n")


def answers(cli: Cli, workspace: Path) -> list[Any]:
    """What reading commands say."""
    commands = (
        ("status", "--json"),
        ("search", "red circle", "--json"),
        ("search", "red circle", "--route", "words", "--json"),
        ("show", f"{NAME}:0", "--json"),
    )
    said = [cli("-w", workspace, *command) for command in commands]
    assert all(one.code == 0 for one in said), said
    return [json.loads(one.out) for one in said]


def test_a_workspace_is_moved_to_a_server_and_back(
    workspace: Path, tmp_path: Path, cli: Cli, server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, url = answers(cli, workspace), server.create("moved")
    done = cli("-w", workspace, "db", "copy", url)
    assert done.code == 0, done.err
    line = done.out.strip()
    assert line == f'database = "{server.url("moved", password=None)}"'
    assert "s3cret" not in done.err
    again = cli("-w", workspace, "db", "copy", url)
    assert again.code == 1
    assert "is not empty: dictionaries has rows" in again.err
    assert again.err.count("\n") == 1

    # The line has no password: libpq finds it.
    monkeypatch.setenv("PGPASSWORD", server.password)
    name_database(workspace, line)
    assert cli("-w", workspace, "db", "path").out == f"{server.url('moved', password=None)}\n"
    assert answers(cli, workspace) == before
    for command in (["label"], ["harvest"], ["score"]):
        assert "nothing to do" in cli("-w", workspace, *command, "--layer", "mid").err
    assert cli("-w", workspace, "db", "check").code == 0
    assert cli("-w", workspace, "-q", "label", "--layer", "mid", "--labeler", "prompts", "-n", "3").code == 0

    # A backup is a file that can take the database's place, and so is a copy the other way.
    saved = cli("-w", workspace, "db", "backup", tmp_path / "backup.db")
    assert saved.code == 0
    assert saved.out == f"{tmp_path / 'backup.db'}\n"
    back = cli("-w", workspace, "db", "copy", tmp_path / "back.db")
    assert back.code == 0
    assert back.out == f'database = "{(tmp_path / "back.db").resolve()}"\n'
    assert cli("-w", workspace, "db", "copy", tmp_path / "back.db").code == 1
    expected = answers(cli, workspace)
    for file in ("backup.db", "back.db"):
        name_database(workspace, f'database = "{tmp_path / file}"')
        assert answers(cli, workspace) == expected
        assert cli("-w", workspace, "db", "check").code == 0
    server.drop("moved")


def test_two_folders_of_one_database_have_one_writer(workspace: Path, tmp_path: Path, cli: Cli, server: Any) -> None:
    """As two machines would: each has its own folder, and its own lock file in it."""
    url = server.create("shared")
    assert cli("-w", workspace, "-q", "db", "copy", url).code == 0
    name_database(workspace, f'database = "{url}"')
    other = Path(shutil.copytree(workspace, tmp_path / "other"))
    code = (
        "import sys, time; from autointerp.project.workspace import WorkspaceFolder\n"
        f"with WorkspaceFolder({str(other)!r}).lock():\n"
        "    print('in', flush=True); time.sleep(120)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        try:
            assert holder.stdout.readline() == "in\n"
            for command in (
                ["label", "--layer", "mid", "--labeler", "prompts"],
                ["harvest", "--layer", "mid", "--top", "4"],
                ["fit", "--layer", "mid", "--latents", "40"],
                ["score", "--layer", "mid"],
                ["evaluate", "--layer", "mid"],
                ["rm", NAME],
                ["db", "copy", tmp_path / "copy.db"],
            ):
                refused = cli("-w", workspace, *command)
                assert refused.code == 1, command
                assert f"is being written by process {holder.pid} on " in refused.err.splitlines()[-1]
                assert "s3cret" not in refused.err
                assert not (tmp_path / "copy.db").exists()
            assert cli("-w", workspace, "status").code == 0
            assert cli("-w", workspace, "-q", "db", "backup", tmp_path / "backup.db").code == 0
        finally:
            holder.kill()
    assert cli("-w", workspace, "-q", "label", "--layer", "mid", "--labeler", "prompts").code == 0
    server.drop("shared")


def test_faults_of_a_server_are_one_line_without_password(workspace: Path, cli: Cli, server: Any) -> None:
    hidden = server.url("none").replace(str(server.port), "1")
    for url, said in ((hidden, "no PostgreSQL server answers"), (server.url("none"), "createdb none")):
        name_database(workspace, f'database = "{url}"')
        for command in (["status"], ["label", "--layer", "mid"], ["db", "check"], ["-v", "db", "path"]):
            done = cli("-w", workspace, "-q", *command)
            assert "s3cret" not in done.out + done.err
            if command[-1] != "path":
                assert done.code == 1
                assert said in done.err
                assert done.err.count("\n") == 1
            else:
                assert done.code == 0
                assert done.out.endswith("/none\n")
