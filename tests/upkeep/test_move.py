"""`db copy`: all rows of a workspace's database in a new file, whole or not at all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from autointerp.db import DatabaseError
from autointerp.db.copy import count_rows
from autointerp.db.engine import Database
from autointerp.project.context import Context
from autointerp.upkeep.move import run_copy


def test_a_copy_has_all_rows_and_takes_the_place_of_the_old_one(
    ctx: Context, tmp_path: Path, cli: Callable[..., Any]
) -> None:
    target = tmp_path / "moved.db"
    line = run_copy(ctx, str(target))
    assert line == f'database = "{target}"'
    copy = Database(target)
    assert count_rows(copy) == count_rows(ctx.db) > 0
    copy.close()
    before = cli("-w", ctx.workspace.path, "status", "--json").out
    settings = ctx.workspace.path / "autointerp.toml"
    settings.write_text(f"{line}\n{settings.read_text()}")
    assert cli("-w", ctx.workspace.path, "status", "--json").out == before


def test_a_file_that_is_there_is_left_alone(ctx: Context, tmp_path: Path) -> None:
    target = tmp_path / "moved.db"
    target.write_text("mine")
    with pytest.raises(DatabaseError, match="exists"):
        run_copy(ctx, str(target))
    assert target.read_text() == "mine"
    assert [path.name for path in tmp_path.glob("*moved*")] == ["moved.db"]
