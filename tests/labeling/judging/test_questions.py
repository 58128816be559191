from __future__ import annotations

from math import ceil

import pytest
from hypothesis import given, strategies as st

from autointerp.labeling.judging.detection import DETECTION
from autointerp.labeling.judging.intruder import INTRUDER
from autointerp.labeling.judging.questions import check_count
from autointerp.labeling.protocol import Trial


@given(st.lists(st.sampled_from([None, 0, 1, 2]), max_size=30), st.integers(1, 9))
def test_requests_keep_order_and_panels(panels: list[int | None], batch: int) -> None:
    trials = [Trial(str(n), "", None, True, panel=panel) for n, panel in enumerate(panels)]
    parted = DETECTION.batches(trials, batch)
    assert [trial for some in parted for trial in some] == trials
    for some in parted:
        assert len({trial.panel for trial in some}) == 1
        assert some[0].panel is not None or len(some) <= batch
    for before, after in zip(parted, parted[1:], strict=False):
        assert before[-1].panel != after[0].panel or len(before) == batch


@given(st.integers(1, 30))
def test_a_label_takes_at_most_so_many_requests(batch: int) -> None:
    assert DETECTION.requests(batch) == ceil(20 / batch)
    assert INTRUDER.requests(batch) == 5


def test_a_reply_has_an_answer_a_trial() -> None:
    trials = [Trial("", "", None, True)] * 3
    check_count(3, "answers", trials)
    with pytest.raises(ValueError, match="2 answers for 3 images"):
        check_count(2, "answers", trials)
