"""What finds phrases in a workspace's pictures."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from autointerp.errors import AutointerpError
from autointerp.project.context import Context
from autointerp.project.segmenters import grounded_segments, scene_reader_of, segmenter_of
from autointerp.project.settings import Settings
from autointerp.project.workspace import WorkspaceFolder
from autointerp.shapes.segments import OracleSegments
from tests.labeling.segments import tiny


def context(folder: Path, **values: object) -> Context:
    return Context(WorkspaceFolder.create(folder, Settings.from_values(values)))


def test_on_shapes_the_oracle_does(tmp_path: Path) -> None:
    assert isinstance(segmenter_of(context(tmp_path)), OracleSegments)


def test_models_may_lie_in_the_workspace(tmp_path: Path) -> None:
    tiny.save_detector(tmp_path / "w" / "dino")
    tiny.save_segmenter(tmp_path / "w" / "sam")
    ctx = context(tmp_path / "w", model="someone/model", grounding={"detector": "dino", "segmenter": "sam"})
    found = segmenter_of(ctx)
    assert found.config["detector"] == str((tmp_path / "w" / "dino").absolute())
    assert found.config["confidence"] == 0.3


def test_a_detector_that_cannot_be_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    ctx = context(tmp_path, model="someone/model", loading={"local_files_only": True})
    assert grounded_segments(ctx).options.detector == "IDEA-Research/grounding-dino-tiny"
    with pytest.raises(AutointerpError) as error:
        segmenter_of(ctx)
    assert "grounding-dino-tiny" in error.value.message
    assert "[grounding]" in error.value.hint
    assert "\n" not in str(error.value)


def test_scenes_are_read_by_what_knows_the_world(tmp_path: Path) -> None:
    known = scene_reader_of(context(tmp_path / "shapes"), [], (12, 12))
    assert type(known).__name__ == "ShapesSceneReader"
    tiny.save_detector(tmp_path / "w" / "dino")
    tiny.save_segmenter(tmp_path / "w" / "sam")
    ctx = context(tmp_path / "w", model="someone/model", grounding={"detector": "dino", "segmenter": "sam"})
    scenes = scene_reader_of(ctx, ["red circle", "star"], (4, 4)).read([Image.new("RGB", (64, 64), "red")])
    assert scenes[0].cells["star"].shape == (4, 4)
