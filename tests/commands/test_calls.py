"""A call finds its workspace, and says what it says where it should."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest

from autointerp.commands.calls import (
    Globals,
    note,
    open_context,
    print_counts,
    short_lived,
    sleep_while_waiting,
    workspace_path,
)

Cli = Callable[..., Any]


def test_the_workspace_before_after_and_from_the_environment(
    tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("AUTOINTERP_WORKSPACE", raising=False)
    assert cli("-w", "before", "init").out == "before\n"
    assert cli("init", "-w", "after").out == "after\n"
    assert cli("-w", "before", "init", "--workspace", "nearer").out == "nearer\n"
    monkeypatch.setenv("AUTOINTERP_WORKSPACE", "named")
    assert cli("init").out == "named\n"
    assert cli("-w", "given", "init").out == "given\n"
    monkeypatch.delenv("AUTOINTERP_WORKSPACE")
    assert cli("init").out == "autointerp-workspace\n"
    made = {p.name for p in tmp_path.iterdir()}
    assert made == {"before", "after", "nearer", "named", "given", "autointerp-workspace"}
    assert cli("db", "path").out == f"{Path('autointerp-workspace', 'autointerp.db')}\n"


@pytest.fixture
def given() -> Globals:
    """The options of a call that stand anywhere."""
    return Globals()


def in_call(given: Globals) -> click.Context:
    return click.Context(click.Command("x"), obj=given)


def test_the_workspace_of_a_call(given: Globals, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AUTOINTERP_WORKSPACE", raising=False)
    with in_call(given):
        assert workspace_path() == Path("autointerp-workspace")
        monkeypatch.setenv("AUTOINTERP_WORKSPACE", "elsewhere")
        assert workspace_path() == Path("elsewhere")
        given.workspace = "here"
        assert workspace_path() == Path("here")


def test_notes_are_visible_and_can_be_silenced(given: Globals, capsys: pytest.CaptureFixture[str]) -> None:
    with in_call(given):
        note("red\x1b[31m")
        given.quiet = True
        note("more")
    said = capsys.readouterr()
    assert (said.out, "\x1b" in said.err, said.err.count("\n")) == ("", False, 1)


def test_counts_in_one_line(given: Globals, labeled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given.workspace = str(labeled)
    with in_call(given):
        print_counts(open_context(), "shapes-turbo.mid.topk")
    line = capsys.readouterr().out
    assert line.startswith("shapes-turbo.mid.topk: ")
    assert " live features, " in line
    assert " labeled, " in line
    assert line.count("\n") == 1


def test_garbage_is_looked_for_again_after_a_short_call() -> None:
    assert gc.isenabled()
    assert short_lived(gc.isenabled)() is False
    assert gc.isenabled()


@pytest.mark.parametrize("command", ["label", "fit", "harvest"])
def test_a_layer_that_is_not_there_leaves_no_workspace(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: Callable[..., Any]
) -> None:
    monkeypatch.chdir(tmp_path)
    done = cli(command, "--layer", "middle")
    assert done.code == 2
    assert "middle" in done.err
    assert list(tmp_path.iterdir()) == []


def test_threads_sleep_unless_the_environment_says_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_WAIT_POLICY", "active")
    sleep_while_waiting()
    assert os.environ["OMP_WAIT_POLICY"] == "active"
    monkeypatch.delenv("OMP_WAIT_POLICY")
    sleep_while_waiting()
    assert os.environ["OMP_WAIT_POLICY"] == "passive"
