"""The keys of `show --json`, and their values."""

from __future__ import annotations

import json

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

LABEL = FeatureLabel("ok", "red circle", "It fires on red circles.", 0.9, "clip")
SCORE = FeatureScore("embedding", 0.9, 0.8, 1.0)
VIEW = FeatureView(
    feature="d.1:17",
    stream="image",
    state="live",
    density=0.1,
    max_activation=4.0,
    mean_activation=2.0,
    histogram=(HistogramLevel(0.5, 3),),
    steps={0: 0.2, 1: 0.8},
    neighbours=(Neighbour("d.1:2", "", 0.5),),
    atom=AtomSource("a red circle", 7, 1, (2, 3), None),
    label=LABEL,
    scores=(SCORE,),
    answers=(LabelerAnswer(LABEL, True, (SCORE,)),),
    crops=(CropPlace(5, "a red circle", "negative", "d.1:2", "score", 0.0, None, None, None, (0, 0, 8, 8)),),
)


def test_every_key_in_its_order() -> None:
    found = json.loads(json.dumps(VIEW.as_dict()))
    first = ["feature", "stream", "state", "density", "max_activation", "mean_activation", "histogram", "steps"]
    assert list(found) == [*first, "neighbours", "atom", "label", "scores", "labels", "crops", "assumed"]
    assert found["histogram"] == [{"from": 0.5, "cells": 3}]
    assert found["atom"] == {"prompt": "a red circle", "seed": 7, "step": 1, "cell": [2, 3], "token": None}
    label = ["status", "name", "explanation", "confidence", "labeler", "error"]
    label += ["told_apart_from", "difference", "name_before", "same_as"]
    assert list(found["label"]) == label
    assert list(found["labels"][0]) == [*label, "counts", "scores"]
    assert found["labels"][0]["scores"] == found["scores"]
    crop = ["image", "prompt", "role", "neighbour", "split", "activation", "cell", "token", "step", "box"]
    assert list(found["crops"][0]) == crop
    assert found["crops"][0]["box"] == [0, 0, 8, 8]


def test_the_index_is_what_follows_the_last_colon() -> None:
    assert VIEW.index == 17
