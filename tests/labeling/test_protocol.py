from __future__ import annotations

import unicodedata

from hypothesis import given, strategies as st

from autointerp.labeling.protocol import LabelResult, Trial, Verdict
from autointerp.texts import EXPLANATION, NAME, REASON

TRIAL = Trial("red", "", None, True)


@given(st.text(max_size=2000), st.text(max_size=2000), st.text(max_size=2000))
def test_texts_of_a_result_are_clean_lines_of_bounded_length(name: str, explanation: str, error: str) -> None:
    result = LabelResult(1, "ok", name, explanation, 0.5, error)
    for text, limit in ((result.name, NAME), (result.explanation, EXPLANATION), (result.error, REASON)):
        assert len(text) <= limit
        assert not [c for c in text if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp")]


def test_an_answer_is_a_truth_value_or_a_number() -> None:
    assert Verdict(TRIAL, False).scored
    assert Verdict(TRIAL, value=0.0).scored
    assert not Verdict(TRIAL, error="unreadable").scored
    assert not Verdict(TRIAL, waits=True).scored
