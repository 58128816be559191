"""Verdicts on cases of a file, by segments, gains and latents that are written by hand."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from autointerp.errors import AutointerpError, UsageError
from autointerp.experiments import edit_benches
from autointerp.experiments.edit_benches import FileCases, bench_of
from autointerp.experiments.subjects import ReadPicture
from autointerp.labeling.segments.scenes import GroundedSceneReader
from autointerp.worlds import EditCase, SceneFacts
from tests.experiments.test_case_files import CAT, HAT, read

BLANK = Image.new("RGB", (64, 64))
LAYER: Any = SimpleNamespace(name="mid", grid=(2, 2), stream="image")
CTX: Any = SimpleNamespace(
    generation=SimpleNamespace(size=64), world=SimpleNamespace(edits=None), model=None, embedder=None,
    description=SimpleNamespace(name="some model"), progress=SimpleNamespace(note=lambda _: None),
)  # fmt: skip


def picture(**cells: list[int]) -> ReadPicture:
    """A picture of four cells: for each phrase those in which it holds."""
    found = {name: np.full((2, 2), -1, np.int64) for name in ("cat", "dog", "mozart", "hat")}
    for name, on in cells.items():
        found[name].reshape(-1)[on] = 0
    return ReadPicture(BLANK, SceneFacts(found, (), None, bool(cells)))


def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *cases: Any) -> tuple[FileCases, list[EditCase]]:
    monkeypatch.setattr(
        edit_benches,
        "scene_readers_of",
        lambda ctx, grid: lambda p: GroundedSceneReader(None, p, grid),  # type: ignore[arg-type]
    )
    made = FileCases(CTX, read(tmp_path, *cases), LAYER)
    return made, made.cases(9, 0)


def test_regions_come_from_both_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    style = {**CAT, "id": "9", "editing_type_id": "9", "original_gsam_prompt": "#everything"}
    rest = {**CAT, "id": "8", "editing_type_id": "8", "original_gsam_prompt": "~cat", "editing_gsam_prompt": "~cat"}
    made, (cat, hat, whole, around) = bench(tmp_path, monkeypatch, CAT, HAT, style, rest)
    before, after = picture(cat=[0], mozart=[3]), picture(dog=[1], hat=[2])
    found = [made.region(case, before, after) for case in (cat, hat, whole)]
    assert [one.reshape(-1).tolist() for one in found] == [[1, 1, 0, 0], [0, 0, 1, 0], [1, 1, 1, 1]]
    assert made.region(around, before, picture(cat=[0])).reshape(-1).tolist() == [0, 1, 1, 1]
    # Nothing of what is to go, or of what is to come, is found.
    assert made.region(cat, picture(dog=[0]), after) is None
    assert made.region(hat, before, picture(mozart=[0])) is None


def test_a_wanted_phrase_is_found_inside_and_a_color_is_reached_by_its_gain(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    color = {**CAT, "id": "6", "editing_type_id": "6", "editing_gsam_prompt": "cat"}
    gone = {**CAT, "id": "3", "editing_type_id": "3"}
    made, (cat, painted, removed) = bench(tmp_path, monkeypatch, CAT, color, gone)
    monkeypatch.setattr(edit_benches, "text_gain", lambda *_: np.array([0.05, 0.02, 0.08]))
    same, other = np.zeros((2, 2)), np.array([[9.0, 0.0], [0.0, 0.5]])
    monkeypatch.setattr(edit_benches, "latent_distances", lambda *_: np.stack([same, other]))
    region = np.array([[True, False], [False, False]])
    ends = (picture(cat=[0]), picture(dog=[0]))
    edited = [picture(dog=[0, 1]), picture(dog=[3], cat=[0])]
    first, second = made.verdicts(cat, region, ends, edited)
    assert (first.reached, first.kept, first.gain, first.distance) == (True, 1.0, 0.05, 0.0)
    assert (second.reached, second.kept) == (False, 2 / 3)
    # Half of what the prompt's own picture gains is 0.04.
    assert [one.reached for one in made.verdicts(painted, region, ends, edited)] == [True, False]
    assert [one.reached for one in made.verdicts(removed, region, ends, edited)] == [True, False]


def test_masks_of_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mask = Image.new("L", (128, 128), 0)
    mask.paste(255, (64, 0, 128, 64))
    mask.save(tmp_path / "good.png")
    made, (case,) = bench(tmp_path, monkeypatch, {**CAT, "mask": "good.png"})
    assert made.region(case, picture(), picture()).tolist() == [[False, True], [False, False]]
    Image.new("L", (128, 64), 255).save(tmp_path / "wide.png")
    Image.new("L", (64, 64), 0).save(tmp_path / "dark.png")
    for name, says in (
        ("wide.png", "case 111000000006: the mask wide.png has 128x64 pixels, and pictures have 64x64"),
        ("dark.png", "no cell is bright"),
        ("none.png", "cannot be read as a picture"),
    ):
        with pytest.raises(AutointerpError, match=says):
            bench(tmp_path, monkeypatch, {**CAT, "mask": name})


def test_without_a_world_and_a_file_there_are_no_cases() -> None:
    with pytest.raises(UsageError, match="some model: give cases with the fields of RIEBench: --cases FILE"):
        bench_of(CTX, None, [LAYER])
