"""The least score, as an address writes it."""

from __future__ import annotations

import pytest

from autointerp.errors import UsageError
from autointerp.views.score_floor import ScoreFloor, read_floor


def test_a_floor_names_a_method_or_none() -> None:
    assert read_floor("") is None
    assert read_floor("0.7") == ScoreFloor(0.7, "")
    assert read_floor("gain=-0.5") == ScoreFloor(-0.5, "gain")


@pytest.mark.parametrize("text", ["x", "nan", "2", "a=0.5", "gain=", "fuzzing=0.5", "detection=-0.5"])
def test_what_is_no_score_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="no score"):
        read_floor(text)
