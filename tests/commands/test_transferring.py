"""`import` and `export` at the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.commands.lines import Misuse, check_misuse

Cli = Callable[..., Any]


MISUSE: Misuse = {
    "unknown layer of an export": (["export", "--layer", "mud", "-o", "x"], 2, ["did you mean 'mid'?"]),
    "export before anything": (["export", "--layer", "mid", "-o", "x"], 1, ["autointerp label"]),
    "unknown format": (["export", "--layer", "mid", "-o", "x", "--format", "jsnl"], 2, ["did you mean 'jsonl'?"]),
}


@pytest.mark.parametrize("case", sorted(MISUSE))
def test_misuse_is_one_line_with_what_to_do(made: Path, cli: Cli, case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(made.parent)
    check_misuse(cli, made, MISUSE[case])


def test_labels_as_lines(labeled: Path, cli: Callable[..., Any], tmp_path: Path) -> None:
    done = cli("-w", labeled, "export", "--layer", "mid", "--format", "jsonl", "-o", tmp_path / "out")
    assert done.code == 0, done.err
    rows = [json.loads(line) for line in (tmp_path / "out" / "labels.jsonl").read_text("utf-8").splitlines()]
    assert [row["index"] for row in rows] == list(range(64))


def test_what_is_no_dictionary(labeled: Path, cli: Callable[..., Any], tmp_path: Path) -> None:
    done = cli("-w", labeled, "import", tmp_path, "--layer", "mid")
    assert done.code in (1, 2)
    assert done.err.count("\n") == 1
