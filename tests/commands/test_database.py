"""`rm` and `db` at the command line."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.commands.lines import Misuse, check_misuse

Cli = Callable[..., Any]


MISUSE: Misuse = {
    "unknown dictionary to remove": (["rm", "x"], 2, ["no dictionary 'x'"]),
    "a backup onto itself": (["db", "backup", "."], 1, ["exists"]),
}


@pytest.mark.parametrize("case", sorted(MISUSE))
def test_misuse_is_one_line_with_what_to_do(made: Path, cli: Cli, case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(made.parent)
    check_misuse(cli, made, MISUSE[case])


def test_path_check_and_backup(
    labeled: Path, cli: Callable[..., Any], tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    where = cli("-w", labeled, "db", "path").out.strip()
    assert where.startswith(str(labeled) if pytestconfig.getoption("--database") == "sqlite" else "postgresql")
    checked = cli("-w", labeled, "db", "check")
    assert (checked.code, checked.out) == (0, "")
    assert checked.err.endswith("the workspace is whole\n")
    copy = tmp_path / "copy.db"
    assert cli("-w", labeled, "db", "backup", copy).out == f"{copy}\n"
    with sqlite3.connect(copy) as database:
        assert database.execute("SELECT count(*) FROM features").fetchone() == (64,)


def test_a_dictionary_that_is_not_there_cannot_be_removed(labeled: Path, cli: Callable[..., Any]) -> None:
    done = cli("-w", labeled, "rm", "shapes-turbo.mid.tpk")
    assert done.code == 2
    assert "shapes-turbo.mid.topk" in done.err
