"""A feature and a search's hits in words."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from PIL import Image

from autointerp.commands.printing.features import print_feature, print_hits
from autointerp.views.feature_view import (
    AtomSource,
    CropPlace,
    FeatureLabel,
    FeatureScore,
    FeatureView,
    HistogramLevel,
    LabelerAnswer,
    Neighbour,
)
from autointerp.views.search.hits import Hit

LABEL = FeatureLabel("ok", "red", "red cells", 0.875, "clip")
CROP = CropPlace(
    image=7, prompt="a red circle", role="top", neighbour=None, split="explain", activation=2.0, cell=(3, 4),
    token=None, step=1, box=(0, 0, 8, 8),
)  # fmt: skip


def view(**changes: Any) -> FeatureView:
    values: dict[str, Any] = {
        "feature": "d:17", "stream": "image", "state": "live", "density": 0.0125, "max_activation": 3.0,
        "mean_activation": 1.0, "histogram": (), "steps": {}, "neighbours": (), "atom": None, "label": None,
        "scores": (), "answers": (), "crops": (),
    }  # fmt: skip
    return FeatureView(**{**values, **changes})


def test_a_feature_without_a_label_says_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    print_feature(view())
    assert capsys.readouterr().out == (
        "d:17  live, fires in 1.25% of cells\nno label yet: run `autointerp label --layer ... --feature 17`\n"
    )


def test_what_was_assumed_of_its_dictionary_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    print_feature(view(assumed=("signal output: the files do not say",)))
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == "assumed when its dictionary was imported: signal output: the files do not say"


def test_a_feature_with_all_that_is_known(capsys: pytest.CaptureFixture[str]) -> None:
    scores = (FeatureScore("embedding", 0.75, 0.5, 0.9), FeatureScore("detection", None, None, None, "no crops"))
    print_feature(
        view(
            label=LABEL,
            scores=scores,
            answers=(LabelerAnswer(LABEL, True, scores), LabelerAnswer(replace(LABEL, name="hue"), False, ())),
            histogram=(HistogramLevel(0.5, 8), HistogramLevel(2.0, 1)),
            steps={1: 0.25, 2: 0.75},
            neighbours=(Neighbour("d:3", "round", 0.5),),
            atom=AtomSource("a blue square", 5, 1, (2, 2), None),
            crops=(CROP, replace(CROP, role="negative", prompt="never shown")),
        )
    )
    out = capsys.readouterr().out
    for line in (
        "red  (clip, confidence 0.88)", "red cells", "embedding score 0.750  [0.500, 0.900]",
        "detection score no value  no crops", "activations from 0.5 to above 2: █▁", "by step: 1: 25%, 2: 75%",
        "fires with d:3  round  (Jaccard 0.50)", "atom of step 1, cell 2,2, seed 5: a blue square",
    ):  # fmt: skip
        assert line in out.splitlines()
    assert "*  clip" in out
    assert "3,4" in out
    assert "never shown" not in out


def test_what_a_label_was_told_apart_from_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    told = FeatureLabel("ok", "striped red", "", 0.5, "vlm@m", "", ("d:1", "d:2"), "striped", "red")
    print_feature(view(label=told))
    assert "told apart from d:1, d:2: striped  (named red before)" in capsys.readouterr().out
    print_feature(view(label=LABEL))
    assert "told apart" not in capsys.readouterr().out


def test_a_label_that_failed_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    print_feature(view(label=FeatureLabel("failed", "", "", 0.0, "vlm@m", "no answer")))
    assert "failed  (vlm@m)  no answer" in capsys.readouterr().out


def test_hits_are_a_table_or_lines_with_pictures(capsys: pytest.CaptureFixture[str]) -> None:
    hit = Hit("d:1", "", "", None, 0.5, 0.5, "a prompt", {}, 9)
    print_hits([hit])
    names, row = capsys.readouterr().out.splitlines()
    assert names.split() == ["feature", "name", "score", "density", "explanation", "best", "prompt"]
    assert row.split() == ["d:1", "-", "-", "50.00%", "a", "prompt"]
    shown: list[Image.Image] = []
    strip = Image.new("RGB", (4, 4))
    print_hits([hit], shown.append, {9: strip})
    assert capsys.readouterr().out == "d:1  -  -  50.00%\n  a prompt\n"
    assert shown == [strip]
