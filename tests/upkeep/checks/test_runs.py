"""Runs that could not go on are named."""

from __future__ import annotations

from autointerp.project.context import Context
from autointerp.upkeep.checks.runs import check_runs

from ..damage import HARVEST, assert_each_is_seen

DAMAGE = {
    "run": (f"UPDATE runs SET done = 3 WHERE id = {HARVEST}", "(harvest) is done at 3 of 40"),
    "checkpoint": (
        "INSERT INTO checkpoints (run_id, name, part, dtype, shape, data)"
        f" VALUES ({HARVEST}, 'counts', 0, '<i8', '[2]', :bytes)",
        "(harvest) does not load",
    ),
    "identity": (f"UPDATE runs SET identity = 'x' WHERE id = {HARVEST}", "(harvest) is not that of its weights"),
}


def test_each_kind_of_damage_is_named(ctx: Context) -> None:
    assert_each_is_seen(ctx, DAMAGE, check_runs)
