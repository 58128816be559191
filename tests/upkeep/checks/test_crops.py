"""Crops that no harvest would make are named."""

from __future__ import annotations

from autointerp.project.context import Context
from autointerp.upkeep.checks.crops import check_crops

from ..damage import NEGATIVE, TOP, assert_each_is_seen

DAMAGE = {
    "box": (f"UPDATE crops SET box_right = 999 WHERE id = {TOP}", "has a box outside of its "),
    "empty box": (f"UPDATE crops SET box_right = box_left WHERE id = {TOP}", "has a box outside of its "),
    "split": (
        f"UPDATE crops SET split = CASE split WHEN 'score' THEN 'explain' ELSE 'score' END WHERE id = {TOP}",
        "and its prompt of the other",
    ),
    "negative that fires": (
        f"UPDATE crops SET activation = 0.5 WHERE id = {NEGATIVE}",
        "a negative with activation 0.5",
    ),
    "negative with a cell": (f"UPDATE crops SET col = 1 WHERE id = {NEGATIVE}", "a negative that is not a whole image"),
    "no step": (f"UPDATE crops SET step = NULL WHERE id = {TOP}", "lacks its step, cell or activation map"),
    "silent": (f"UPDATE crops SET activation = 0 WHERE id = {TOP}", "has activation 0"),
    "cell": (f'UPDATE crops SET "row" = 12 WHERE id = {TOP}', "lies at cell 12, "),
    "map": (f"UPDATE crops SET activation_map = :bytes WHERE id = {TOP}", "has an activation map that does not decode"),
    "map's grid": (f"UPDATE crops SET activation_map = :map WHERE id = {TOP}", "an activation map of 12 x 24 cells"),
    "map's maximum": (f"UPDATE crops SET activation = activation * 2 WHERE id = {TOP}", "whose maximum is not its"),
    "neighbour": (f"UPDATE crops SET neighbour = 3 WHERE id = {TOP}", "has the neighbour 3, and is no negative"),
}


def test_each_kind_of_damage_is_named(ctx: Context) -> None:
    assert_each_is_seen(ctx, DAMAGE, check_crops)
