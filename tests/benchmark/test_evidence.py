from __future__ import annotations

import numpy as np

from autointerp.benchmark.evidence import ShownEvidence
from autointerp.benchmark.recipe import Benchmark


def test_shown_pictures_have_active_cells_and_silent_ones_have_none(benchmark_made: Benchmark) -> None:
    evidence = ShownEvidence(benchmark_made)
    firing = benchmark_made.firing
    for place in range(len(benchmark_made.answers.units)):
        shown = evidence.of(place)
        own = firing.feature == place
        active_in = set((firing.cell[own] // 144).tolist())
        assert {one.image for one in shown.pictures} <= active_in
        assert (
            len({one.image for one in shown.pictures}) == len(shown.pictures) == min(4, len(active_in & set(range(30))))
        )
        assert not set(shown.silent) & active_in
        assert all(0 <= image < 30 for image in shown.silent)
        for one in shown.pictures:
            assert one.heat[one.cell] > 0.25 * shown.maximum
            inside = own & (firing.cell // 144 == one.image)
            assert np.array_equal(np.flatnonzero(one.heat), np.sort(firing.cell[inside] % 144))
            left, top, right, bottom = one.box
            assert left <= 8 * one.cell[1] < right
            assert top <= 8 * one.cell[0] < bottom


def test_the_same_pictures_are_drawn_each_time(benchmark_made: Benchmark) -> None:
    drawn = [[one.image for one in ShownEvidence(benchmark_made).of(2).pictures] for _ in range(2)]
    assert drawn[0] == drawn[1]
