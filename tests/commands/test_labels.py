"""`labels` at the command line; tests/transfer/label_files has what is read and written."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.commands.lines import Misuse, check_misuse

Cli = Callable[..., Any]

MISUSE: Misuse = {
    "a file that is not there": (["labels", "import", "none.csv"], 1, ["none.csv"]),
    "an unknown format": (["labels", "import", "x.csv", "--format", "cvs"], 2, ["did you mean 'csv'?"]),
    "an unknown ending": (["labels", "export", "x.txt"], 2, [".csv", ".jsonl"]),
    "an unknown layer": (["labels", "export", "x.csv", "--layer", "mdi"], 2, ["did you mean 'mid'?"]),
    "a labeler of no dictionary": (["labels", "list", "--labeler", "clip"], 2, ["--layer or --dictionary"]),
    "a list of an unknown dictionary": (["labels", "list", "--dictionary", "y"], 2, ["no dictionary 'y'"]),
    "an unknown dictionary": (["labels", "export", "x.csv", "--dictionary", "y"], 2, ["no dictionary 'y'"]),
}


@pytest.mark.parametrize("case", sorted(MISUSE))
def test_misuse_is_one_line_with_what_to_do(made: Path, cli: Cli, case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(made.parent)
    if "format" in case or "ending" in case:
        (made.parent / "x.csv").write_text("feature,name\nx:1,red\n")
    check_misuse(cli, made, MISUSE[case])


def test_a_list_of_nothing_says_what_to_do(made: Path, cli: Cli) -> None:
    assert json.loads(cli("-w", made, "labels", "list", "--json").out) == []
    assert "autointerp label" in cli("-w", made, "labels", "list").out
