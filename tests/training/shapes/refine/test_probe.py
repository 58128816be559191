"""The probe tells cells on, inside and beside objects apart, and prints shares of the shipped model."""

from __future__ import annotations

import numpy as np
import pytest

from autointerp.shapes.vlm import load_shapes_vlm
from training.shapes.refine.probe import SORTS, judging_probe, naming_probe, parts_probe, sorts_of_cells


@pytest.fixture(scope="module")
def shipped():
    return load_shapes_vlm()


def test_sorts_of_cells_tell_what_touches_an_object():
    part = np.full((1, 12, 12), -1)
    part[0, 4:7, 4:7] = 0
    part[0, 5, 5] = 1
    sorts = sorts_of_cells(part)[0]
    assert (sorts[5, 5], sorts[4, 4]) == (SORTS.index("inside"), SORTS.index("edge"))
    assert sorts[3, 3] == sorts[5, 7] == SORTS.index("beside")
    assert sorts[2, 5] == sorts[0, 0] == SORTS.index("far")


def test_the_shipped_judge_knows_parts(shipped, pool):
    assert judging_probe(shipped, pool, 120)["marks"] > 0.8
    said = parts_probe(shipped, pool, 300)
    assert said["edge of objects, edge"] > 0.7 > 0.3 > said["edge of objects, inside"]
    assert said["object, far"] < 0.1


def test_the_shipped_labeler_names_what_cells_speak_for(shipped, pool):
    figures = naming_probe(shipped, pool, 20)
    assert figures["questions"] == 20
    assert figures["exact, of those with a concept"] > 0.6
