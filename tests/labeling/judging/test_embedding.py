from __future__ import annotations

from autointerp.labeling.judging.embedding import text_for_embedding


def test_place_is_left_out_of_what_is_embedded() -> None:
    assert text_for_embedding("red circle, top left") == "red circle"
    assert text_for_embedding("top left") == "top left"
    assert text_for_embedding("red, round") == "red round"
