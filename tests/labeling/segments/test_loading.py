"""Models that cannot be loaded: one line each, with the next step."""

from __future__ import annotations

from pathlib import Path

import pytest

from autointerp.errors import AutointerpError
from autointerp.labeling.segments.detector import PhraseDetector
from autointerp.labeling.segments.loading import commit_of
from autointerp.labeling.segments.masks import BoxSegmenter

from . import tiny


def one_line(error: AutointerpError, *parts: str) -> None:
    told = f"{error.message} {error.hint}"
    assert "\n" not in told
    assert all(part in told for part in parts), told


def test_a_model_that_is_not_on_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(AutointerpError) as error:
        PhraseDetector.load("owner/nothing", 0.3, local_files_only=True)
    one_line(error.value, "owner/nothing", "[grounding]", "detector")


def test_a_model_of_another_type(tmp_path: Path) -> None:
    sam = tiny.save_segmenter(tmp_path / "sam")
    with pytest.raises(AutointerpError) as error:
        PhraseDetector.load(str(sam), 0.3)
    one_line(error.value, "is a sam", "grounding-dino")


def test_a_folder_that_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(AutointerpError) as error:
        BoxSegmenter.load(str(tmp_path))
    one_line(error.value, "segmenter", "[grounding]")


def test_other_weights_in_a_folder_have_another_name(tmp_path: Path) -> None:
    folder = tiny.save_segmenter(tmp_path / "sam")
    before = commit_of(str(folder), None)
    (folder / "more.safetensors").write_bytes(b"1")
    assert commit_of(str(folder), None) != before
