"""What a verdict on a claim shows: its interval, and the parts of its reason."""

from __future__ import annotations

import pytest

from autointerp.views.verdicts import ClaimVerdict


def verdict(low: float | None, high: float | None, reason: str = "") -> ClaimVerdict:
    return ClaimVerdict("c", "s", "", 0.4, low, high, "holds", reason)


@pytest.mark.parametrize(
    ("low", "high", "shown"),
    [(0.39, 0.4311, "0.390 to 0.431"), (None, 0.5, ""), (0.3, None, "")],
)
def test_an_interval_has_both_ends_or_none(low: float | None, high: float | None, shown: str) -> None:
    assert verdict(low, high).interval == shown


def test_a_reason_has_a_part_for_each_figure() -> None:
    reason = "a: 0.3 (holds: above 0; within 1); b: 0.2 (fails: it must be above 0.5)"
    assert verdict(0, 1, reason).parts == ["a: 0.3 (holds: above 0; within 1)", "b: 0.2 (fails: it must be above 0.5)"]
    assert verdict(0, 1).as_dict()["verdict"] == "holds"
