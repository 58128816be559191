"""What counts as a success, which arm is the best, and which cases serve for choosing."""

from __future__ import annotations

import pytest

from autointerp.experiments.arms import Arm
from autointerp.experiments.trials import Trials, choosing, packed
from autointerp.worlds import EditCase, EditVerdict

CASES = [EditCase(f"{kind}-{n}", kind, "a", "b", n) for n, kind in enumerate(["color", "add"] * 3)]
WEAK, STRONG = (Arm("sae", ("mid",), 8, strength) for strength in (1.0, 2.0))


def results() -> dict:  # type: ignore[type-arg]
    found = {}
    for n, case in enumerate(CASES):
        verdicts = {
            WEAK.key: EditVerdict(n < 2, 0.95, True),
            STRONG.key: EditVerdict(True, 0.91 if n < 4 else 0.89, n == 0),
            "none": EditVerdict(False, 1.0, True),
        }
        found[case.key] = {"shown": n != 5, "verdicts": packed(verdicts)}
    return found


def test_a_success_is_reached_and_keeps_the_rest() -> None:
    trials = Trials(CASES, results())
    assert [one.success for one in trials.of(WEAK.key)] == [True, True, False, False, False]
    assert [one.success for one in trials.of(STRONG.key)] == [True, True, True, True, False]
    assert trials.best([WEAK, STRONG]) == STRONG
    assert trials.best([WEAK, WEAK]) == WEAK
    assert trials.of("an arm that was not run") == []


def test_figures_count_the_cases_that_show_their_caption() -> None:
    trials = Trials(CASES, results())
    success = trials.figure("success", "all kinds", "sae", STRONG.key)
    assert (success.value, success.n, success.control) == (0.8, 5, False)
    assert success.low is not None
    assert 0.3 < success.low < 0.8
    assert trials.estimate("kept", STRONG.key).value == pytest.approx((4 * 0.91 + 0.89) / 5)
    assert trials.estimate("valid", STRONG.key, ("color",)).value == pytest.approx(1 / 3)
    none = trials.figure("reached", "all kinds", "none", "none", ("add",))
    assert (none.value, none.n, none.control) == (0.0, 2, True)


def test_cases_for_choosing_follow_from_their_keys() -> None:
    chosen = choosing(CASES, 2)
    assert len(chosen) == 2
    assert chosen == choosing(CASES[::-1], 2)
    assert chosen < choosing(CASES, 4)
