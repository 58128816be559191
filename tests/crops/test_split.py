from __future__ import annotations

from autointerp.crops.split import split_of


def test_splits_are_forty_to_sixty_and_never_change() -> None:
    splits = [split_of(f"prompt {i}") for i in range(5000)]
    assert 0.37 < splits.count("score") / 5000 < 0.43
    # Written down: stored rows depend on them for ever.
    assert [split_of(p) for p in ("a red circle", "a dog", "", "ü")] == ["explain", "explain", "explain", "score"]
