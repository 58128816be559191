"""Overlaps of masks."""

from __future__ import annotations

import numpy as np
import pytest

from autointerp.labeling.evidence.overlap import iou, mean_ious


def mask(*cells: int) -> np.ndarray:
    found = np.zeros(6, bool)
    found[list(cells)] = True
    return found.reshape(2, 3)


def test_iou() -> None:
    assert iou(mask(0, 1), mask(1, 2)) == pytest.approx(1 / 3)
    assert iou(mask(0), mask(0)) == 1
    assert iou(mask(0), mask(1)) == 0
    assert iou(mask(), mask()) == 0, "nothing fits nothing"


def test_a_name_that_a_picture_does_not_show_has_no_overlap_there() -> None:
    active = [mask(0, 1), mask(2)]
    found = mean_ious(active, [{"red": mask(0, 1), "star": mask(0)}, {"star": mask(2)}])
    assert found == {"red": pytest.approx(0.5), "star": pytest.approx(0.75)}
    assert mean_ious([], []) == {}
