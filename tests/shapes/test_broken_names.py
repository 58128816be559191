from __future__ import annotations

import numpy as np

from autointerp.shapes.broken_names import BREAKS, NameWords, broken
from autointerp.shapes.concepts import concept_masks
from autointerp.shapes.extensions import Atoms
from autointerp.shapes.label_verdict import relation


def test_a_right_name_picks_out_its_concept_and_a_broken_one_does_not(cells: dict[str, np.ndarray]) -> None:
    atoms, rng = Atoms.of_cells(cells), np.random.default_rng(0)
    concepts, masks = concept_masks(cells)
    names = [NameWords.of(concept) for concept in concepts]
    found: dict[str, list[str]] = {way: [] for way in BREAKS}
    for words, mask in zip(names, masks, strict=True):
        own = atoms.extension(str(words))
        assert not own.problem
        assert np.array_equal(own.holds, mask), words
        for way, other in broken(words, names, rng).items():
            said = atoms.extension(str(other))
            assert not said.problem, other
            if not mask.any():
                continue
            found[way].append(relation(said.holds, mask))
    assert set(found["too broad"]) == {"too broad"}
    # In so few pictures a value may be missing, or all that is of one value may be of another too.
    assert set(found["too narrow"]) <= {"too narrow", "wrong", "exact"}
    assert found["too narrow"].count("too narrow") > 0.8 * len(found["too narrow"])
    assert "exact" not in found["sibling"]
    assert "too broad" not in found["sibling"]
    assert all(len(of_way) > 0.9 * masks.any((1, 2, 3)).sum() for of_way in found.values())
