from __future__ import annotations

from autointerp.labeling.evidence.phrases import clauses, frequent, runs, runs_and_pairs, subphrases, without_regions


def test_clauses_split_at_punctuation_and_drop_function_words() -> None:
    assert clauses("A red circle in the sky, a BLUE star.") == (("red", "circle", "sky"), ("blue", "star"))
    assert clauses(" ,, ;") == ()


def test_phrases_do_not_cross_clauses() -> None:
    said = {p for c in clauses("large red striped circle top left, blue star") for p in runs_and_pairs(c)}
    assert {("red", "circle"), ("red", "striped", "circle"), ("blue", "star"), ("top", "left")} <= said
    assert ("red", "star") not in said
    assert ("circle", "red") not in said


def test_runs_are_neighbours_and_subphrases_are_not() -> None:
    clause = ("big", "red", "ball")
    assert runs(clause, 2) == {("big",), ("red",), ("ball",), ("big", "red"), ("red", "ball")}
    assert ("big", "ball") in subphrases(clause, 2)
    assert ("big", "red", "ball") not in subphrases(clause, 2)
    long = tuple(f"w{i}" for i in range(14))
    assert len(subphrases(long, 4)) < 200


def test_frequent_is_ordered_and_bounded() -> None:
    groups = [[("a",), ("b",)], [("a",), ("c",)], [("a",), ("b",)]]
    assert frequent(groups, 2, 10) == [("a",), ("b",)]
    assert frequent(groups, 1, 1) == [("a",)]
    assert without_regions(("red", "top", "left")) == ("red",)
