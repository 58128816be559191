"""Pictures of readouts: none serves twice, and their lines over the steps."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from autointerp.experiments import scene_readouts
from autointerp.experiments.protocol import Figure
from autointerp.experiments.scene_readouts import SceneReadouts


@pytest.fixture
def readouts(monkeypatch: pytest.MonkeyPatch) -> SceneReadouts:
    """Readouts of ten pictures, of which four fit and two choose; a picture is its number."""

    def batches(
        at: Any, reader: Any, jobs: Any, layers: Any, steps: Any, with_input: bool, words: Any
    ) -> Iterator[Any]:
        assert with_input
        assert words is None, "word maps are read where an experiment asks for them alone"
        for start in range(0, len(jobs), 3):
            yield SimpleNamespace(jobs=jobs[start : start + 3], layers=layers)

    monkeypatch.setattr(scene_readouts, "FITTED", 4)
    monkeypatch.setattr(scene_readouts, "CHOSEN", 2)
    monkeypatch.setattr(scene_readouts, "pictures_of", lambda at, count: list(range(count)))
    monkeypatch.setattr(scene_readouts, "scene_batches", batches)
    made = object.__new__(SceneReadouts)
    made.at, made.reader, made.layers, made.steps = None, None, ["mid"], [0, 2]  # type: ignore[assignment, list-item]
    made.request = SimpleNamespace(images=4)  # type: ignore[assignment]
    return made


def test_no_picture_serves_twice(readouts: SceneReadouts) -> None:
    told: list[str] = []
    bar: Any = SimpleNamespace(advance=lambda count, note: told.append(note))
    served: Any = (
        [job for batch in some for job in batch.jobs]
        for some in (readouts.fitting(bar), readouts.choosing(bar), readouts.measured(1, 3))
    )
    assert list(served) == [[0, 1, 2, 3], [4, 5], [7, 8]]
    assert told == ["fitting readouts: 3/4 images", "fitting readouts: 4/4 images", "choosing ridges: 2/2 images"]
    assert [(unit.about["start"], unit.about["stop"]) for unit in readouts.units()] == [(0, 4)]


def test_a_line_has_gaps_where_a_step_has_no_figure(readouts: SceneReadouts) -> None:
    readouts.controls = frozenset(("raw",))
    figures = [Figure("IoU", "mid, step 2", "raw", 0.5, 0.4, 0.6), Figure("IoU", "mid, step 0", "codes", None)]
    line = readouts.line("raw, mid", figures, "IoU", "mid", "raw")
    assert line is not None
    assert (line.x, line.values, line.low, line.control) == ([0.0, 2.0], [None, 0.5], [None, 0.4], True)
    assert readouts.line("codes", figures, "IoU", "mid", "codes") is None
