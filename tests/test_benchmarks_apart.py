"""Exact eyes tell features apart by the cells that they are shown."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from autointerp.benchmark.scenes import rendered_pictures
from autointerp.labeling.labelers.apart import Difference, NamedAlike
from autointerp.labeling.protocol import CropEvidence, FeatureEvidence
from autointerp.shapes.fine_concepts import fine_masks
from benchmarks.apart import ExactTeller, Shown, line

PICTURES = rendered_pictures(40, 0, 5)
CELLS = {name: values.astype(np.int64) for name, values in PICTURES.cells.items()}
CONCEPTS, MASKS = fine_masks(CELLS)


def feature(number: int, concept: str) -> FeatureEvidence:
    """A feature that is active where a concept holds, with a crop of each picture in which it is."""
    (mask,) = (m for c, m in zip(CONCEPTS, MASKS, strict=True) if c.name == concept)
    picture = Image.new("RGB", (96, 96))
    crops = []
    for image in np.flatnonzero(mask.any((1, 2))).tolist():
        row, col = np.argwhere(mask[image])[0].tolist()
        heat = mask[image].astype(np.float32)
        box = (0, 0, 96, 96)
        crops.append(CropEvidence(image, image, "", picture, box, (12, 12), (row, col), 1.0, heat, "active", 0.25))
    return FeatureEvidence(f"d:{number}", number, 0.1, tuple(crops), (), tuple(crops))


def told(name: str, *concepts: str) -> Difference:
    own, *others = (feature(number, concept) for number, concept in enumerate(concepts))
    teller = ExactTeller(range(40), CELLS, Shown(8, 8))
    (found,) = teller.tell([NamedAlike(name, own, tuple(others))])
    return found


def test_what_only_the_first_has() -> None:
    found = told("edge", "left edge of object", "right edge of object", "right edge of object")
    assert (found.status, found.apart_from, found.same_as) == ("told", (0, 1), ())
    assert "left edge" in found.text
    assert told("object", "red", "blue", "green").name == "red"


def test_what_is_the_same_is_said_to_be() -> None:
    assert told("edge", "edge", "edge", "edge").status == "same"
    found = told("edge", "left edge of object", "left edge of object", "right edge of object")
    assert (found.apart_from, found.same_as) == ((1,), (0,))


def test_a_name_gains_no_word_that_holds_in_some_cells_alone() -> None:
    found = told("object", "object", "inside")
    assert found.status == "told"
    assert found.name == ""  # Its cells are edges more often than those of the other, but not nearly all of them.


def test_a_row_has_its_intervals() -> None:
    apart = {
        "distinct_before": 5,
        "distinct_extensions": 7,
        "pairs": 40,
        "differ": 0.9,
        "duplicates": 0,
        "stated": 8,
        "stated_hold": 0.75,
    }
    figures = {
        "apart": {**apart, "duplicates_recognised": None, "mistaken": 0.25}, "distinct_names": 8, "told_apart": 0.6,
        "controls": {"shuffled": {"told_apart": 0.1}},
        "intervals": {"told_apart": [0.5, 0.7], "distinct_extensions": [6.2, 7.9], "duplicates_recognised": None},
    }  # fmt: skip
    row = line(Shown(5, 3), figures)
    assert (
        row == "| 5 and 3 | 5 | 8 | 7 (6 to 8) | 60.0% (50 to 70) of 40 | 10.0% | 90.0% | - of 0 | 25.0% | 75.0% of 8 |"
    )


@pytest.mark.parametrize("shown", [(5, 3), (20, 10)])
def test_it_looks_at_as_many_pictures_as_it_is_told(shown: tuple[int, int]) -> None:
    assert ExactTeller(range(40), CELLS, Shown(*shown)).cells == max(shown)
