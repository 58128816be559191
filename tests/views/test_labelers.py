"""Labelers are summed up for each dictionary."""

from __future__ import annotations

from autointerp.project.context import Context
from autointerp.views.labelers import list_labelers

from .conftest import NAME


def test_labels_means_and_how_many_count(small: Context) -> None:
    clip, vlm = list_labelers(small)
    assert (clip.dictionary, clip.labeler, clip.labels, clip.counting) == (NAME, "clip@c", 2, 2)
    assert clip.scores == {"embedding": 0.75}
    assert (vlm.labeler, vlm.labels, vlm.counting, vlm.scores) == ("vlm@v", 1, 0, {"embedding": 0.7})
    keys = ["dictionary", "labeler", "kind", "model", "base_url", "prompt_hash", "labels", "uninterpretable", "failed"]
    assert list(vlm.as_dict()) == [*keys, "counting", "scores"]
