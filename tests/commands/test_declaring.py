"""Options that are given twice: nothing is dropped in silence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Cli = Callable[..., Any]


@pytest.mark.parametrize(
    ("given", "named"),
    [
        (("label", "--layer", "mid", "--layer", "late"), "--layer"),
        (("label", "--layer", "mid", "--layer=late"), "--layer"),
        (("-w", "a", "-w", "b", "status"), "--workspace"),
        (("db", "check", "-w", "a", "--workspace", "b"), "--workspace"),
        (("experiment", "edit", "--cases", "3", "--cases", "4"), "--cases"),
    ],
)
def test_a_second_value_of_an_option_that_takes_one_is_refused(
    tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch, given: tuple[str, ...], named: str
) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = cli(*given)
    assert outcome.code == 2
    assert outcome.err.startswith(f"error: {named} is given 2 times and takes one value; run the command once for each")
    assert not list(tmp_path.iterdir())


def test_lists_and_flags_may_be_given_again(labeled: Path, cli: Cli) -> None:
    outcome = cli("-q", "-w", labeled, "fit", "--layer", "mid", "--layer", "late", "-q", "-q", "--dry-run")
    assert outcome.code == 0
    assert "late" in outcome.out


def test_the_workspace_nearer_to_the_end_wins(labeled: Path, tmp_path: Path, cli: Cli) -> None:
    assert cli("-w", tmp_path / "none", "status", "-w", labeled).code == 0
