"""Whether names tell features apart is told by cells, and not by words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest

from autointerp.crops.records import ACTIVE_SHARE
from autointerp.shapes.fine_concepts import fine_masks
from autointerp.shapes.names_apart import NamedApart, apart_figures, drawn_pairs
from autointerp.shapes.verdict import Evaluated, Firing, Truth

ABOUT = [
    "left edge of object", "right edge of object", "top edge of object", "edge", "edge",
    "red", "blue", "red", "red circle", "red square", "inside", "inside",
]  # fmt: skip


Said = Mapping[int, tuple[str, Sequence[int], Sequence[int]]]
"""A difference, and latents that a feature was told from and that are the same, by latent."""


@pytest.fixture(scope="module")
def own(world) -> Evaluated:
    """Features that fire in a third of the cells of what they are about."""
    cells, _, _ = world
    concepts, masks = fine_masks(cells)
    by_name, rng = {c.name: m for c, m in zip(concepts, masks, strict=True)}, np.random.default_rng(0)
    where = [np.flatnonzero(by_name[name] & (rng.random(masks[0].shape) < 0.3)) for name in ABOUT]
    feature, cell = np.repeat(np.arange(len(where)), [len(w) for w in where]), np.concatenate(where)
    acts = np.ones(len(cell), np.float32)
    return Truth(cells, (12, 12)).of(Firing(len(where), feature, cell, acts, acts[: len(where)]), ACTIVE_SHARE)


def labels(names: Sequence[str], said: Said) -> dict[int, NamedApart]:
    nothing = ("", (), ())
    return {
        at: NamedApart(name, name, *said.get(at, nothing)) if at in said else NamedApart(name, name)
        for at, name in enumerate(names)
    }


def test_pairs_have_one_name() -> None:
    names = {3: "red circle", 5: "the circle, red", 8: "circles red", 9: "blue", 2: "red circles"}
    assert drawn_pairs(names, 0) == [(2, 3)]
    many = {at: f"n{at % 3}" for at in range(60)}
    every = drawn_pairs(many, 0, most=10**6)
    assert len(every) == len(set(every)) == 3 * 190
    assert all(one < other and one % 3 == other % 3 for one, other in every)
    some = drawn_pairs(many, 0, most=50)
    assert len(set(some)) == 50
    assert set(some) < set(every)
    assert some == drawn_pairs(many, 0, most=50) != drawn_pairs(many, 1, most=50)
    assert drawn_pairs({}, 0) == []


def test_a_difference_tells_a_pair_apart_where_it_holds_more_often(own) -> None:
    names = ["edge"] * 5
    # Of the ten pairs, those of the first feature are told apart: its cells are left edges.
    one = apart_figures(own, labels(names, {0: ("left edge of object", [1, 2], [])}), 0)
    assert one.pairs == 10
    assert one.told_apart == pytest.approx(0.4)
    # A difference that holds where the others are active, or that nobody can read, tells nothing.
    for said in ("edge", "right edge of object", "zeppelins", "background"):
        assert apart_figures(own, labels(names, {0: (said, [1, 2], [])}), 0).told_apart == 0.0
    both: Said = {0: ("left edge of object", [1], []), 1: ("right edge of object", [0], [])}
    found = apart_figures(own, labels(names, both), 0)
    assert found.told_apart == pytest.approx(0.7)
    assert found.shuffled is not None
    assert found.shuffled < 0.35
    assert found.differ == pytest.approx(0.9)  # all but the two that are about the same
    # Of what is stated of a feature and each of its namesakes, that of the first and the second holds.
    assert (one.stated, one.stated_hold, found.stated, found.stated_hold) == (2, 1.0, 2, 1.0)
    wrong = apart_figures(own, labels(names, {0: ("left edge of object", [1], []), 2: ("background", [3, 4], [])}), 0)
    assert wrong.stated == 3
    assert wrong.stated_hold == pytest.approx(1 / 3)
    # Dealt out anew, each is as often the other's as its own; and what one feature alone says stays its own.
    assert found.stated_shuffled is not None
    assert 0.2 < found.stated_shuffled < 0.8
    assert one.stated_shuffled == 1.0
    # Without the pass there is nothing to tell.
    none = apart_figures(own, labels(names, {}), 0)
    assert (none.told_apart, none.stated, none.stated_hold) == (None, 0, None)


def test_duplicates_are_told_by_cells(own) -> None:
    names = ["edge"] * 5
    said: Said = {3: ("", [], [4, 0]), 4: ("left edge of object", [3], [1])}
    found = apart_figures(own, labels(names, said), 0)
    # Two answers are about the pair of duplicates, of which one says so; the two others are about features that differ.
    assert (found.duplicates, found.duplicates_recognised, found.mistaken) == (2, 0.5, 1.0)
    none = apart_figures(own, labels(names, {0: ("left edge of object", [1], [])}), 0)
    assert (none.duplicates, none.duplicates_recognised, none.mistaken) == (0, None, 0.0)


def test_names_are_counted_by_the_cells_where_their_words_hold(own) -> None:
    names = ["left edge of object", "edge of the right", "top edges", "edge", "edges", "crimson", "red", "red", "ring"]
    found = apart_figures(own, labels(names, {}), 0)
    # Of two that say the same one counts. No feature of its name is about the ring, and `blue` is not `red`.
    assert found.distinct_names == 7
    assert found.distinct_extensions == 4
    low, high = found.intervals["distinct_extensions"] or (5, 0)
    assert low <= 4 <= high
    # A word that holds in some of the cells alone is none.
    broad = apart_figures(own, labels(["large red", "red"], {}), 0)
    assert broad.distinct_extensions == 0


def test_names_after_the_pass_count_and_pairs_are_of_names_before(own) -> None:
    found = {
        at: replace(NamedApart("edge", "edge", "x", [1], []), name=ABOUT[at]) if at < 3 else NamedApart("edge", "edge")
        for at in range(5)
    }
    figures = apart_figures(own, found, 0)
    assert (figures.distinct_before, figures.distinct_names, figures.distinct_extensions) == (1, 4, 4)
    assert figures.pairs == 10
    assert figures.intervals["told_apart"] is None  # one name is too few


def test_intervals_are_over_names(own) -> None:
    names = ["edge"] * 3 + ["part"] * 2 + ["red"] * 3 + ["thing"] * 2 + ["inside"] * 2
    said: Said = {at: (ABOUT[at], [0], []) for at in range(len(ABOUT))}
    found = apart_figures(own, labels(names, said), 0)
    assert found.told_apart is not None
    low, high = found.intervals["told_apart"] or (1, 0)
    assert 0 <= low < found.told_apart < high <= 1
    assert high - low > 0.2
    assert found == apart_figures(own, labels(names, said), 0)
