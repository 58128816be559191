from __future__ import annotations

import numpy as np
import pytest

from autointerp.labeling.judging.sequential import ERROR, SequentialTest


def asked(test: SequentialTest, share: float, most: int, rng: np.random.Generator) -> tuple[bool | None, int]:
    yes = 0
    for n in range(1, most + 1):
        yes += int(rng.random() < share)
        if (decision := test.decision(yes, n - yes)) is not None:
            return decision, n
    return None, most


@pytest.mark.parametrize("base", [0.1, 0.5, 0.8])
def test_wrong_decisions_are_as_rare_as_said(base: float) -> None:
    test = SequentialTest.against(base)
    rng = np.random.default_rng(0)
    for share, wrong in ((test.fails, True), (test.holds, False)):
        found = [asked(test, share, 2000, rng)[0] for _ in range(3000)]
        assert None not in found
        # Wald's bound is on the sum of both errors, and overshoot makes each smaller.
        assert np.mean([one is wrong for one in found]) <= ERROR + 0.012


def test_clear_answers_end_early() -> None:
    test = SequentialTest()
    assert test.decision(11, 0) is None
    assert test.decision(12, 0) is True
    assert test.decision(0, 2) is None
    assert test.decision(0, 3) is False
    assert test.decision(16, 4) is None
    rng = np.random.default_rng(1)
    assert np.mean([asked(test, 0.98, 40, rng)[1] for _ in range(2000)]) < 16
    assert np.mean([asked(test, 0.05, 20, rng)[1] for _ in range(2000)]) < 5


def test_a_broad_label_must_hold_more_often() -> None:
    assert SequentialTest.against(0.0) == SequentialTest.against(0.7) == SequentialTest()
    broad = SequentialTest.against(0.8)
    assert broad.fails == 0.8
    assert broad.holds == pytest.approx(0.8 + 0.2 * 2 / 3)
    # What proves a narrow label proves nothing of a broad one.
    assert broad.decision(12, 0) is None
    assert SequentialTest.against(1.0).holds < 1
