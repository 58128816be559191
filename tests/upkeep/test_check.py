"""`db check`: all checks of a workspace, one after another."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import text

from autointerp.db.queries import checks
from autointerp.upkeep.check import run_check

from .damage import TOP


def test_a_sound_workspace_has_no_problems(ctx: Any, cli: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    assert run_check(ctx) == []
    # Rows are streamed in parts: their size changes nothing.
    monkeypatch.setattr(checks, "ROWS", 7)
    monkeypatch.setattr(checks, "PICTURES", 3)
    assert run_check(ctx) == []
    done = cli("-w", ctx.workspace.path, "db", "check")
    assert (done.code, done.out) == (0, "")
    assert done.err.splitlines()[-1] == "the workspace is whole"


def test_many_lines_of_one_kind_are_cut(ctx: Any) -> None:
    with ctx.db.session() as session:
        session.execute(text("UPDATE crops SET box_right = 999"))
    found = run_check(ctx)
    assert sum(problem.startswith("crop ") for problem in found) == 20


def test_damage_inside_the_database_is_named_too(ctx: Any) -> None:
    with ctx.db.session() as session:
        session.execute(text(f"UPDATE crops SET rank = 77 WHERE id = {TOP}"))
    assert any("top, have gaps or doubles" in problem for problem in run_check(ctx))
