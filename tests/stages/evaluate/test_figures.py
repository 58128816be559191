"""What `evaluate` stores is read back as it was, and shows the keys that scripts read."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies as st

from autointerp.shapes.names_apart import ApartFigures
from autointerp.stages.evaluate.figures import (
    Evaluation,
    EvaluationReport,
    LabelFigures,
    SpliceFigures,
    TruthFigures,
    rounded,
)
from autointerp.stages.score.figures import ScoreFigures

RECONSTRUCTION = {
    "fvu": 0.123456,
    "fvu_normalized": 0.2,
    "explained_variance": 0.8,
    "r2_mean": 0.7,
    "l0": 2.0,
    "dead_share": 0.0001234567,
    "dense_share": 0.0,
}
KEYS = [
    "layer",
    "dictionary",
    "kind",
    "features",
    "live",
    "dead",
    "images",
    "unseen_prompts",
    "grounded",
    "specific",
    "label_accuracy",
    "label_accuracy_specific",
    "exact",
    "exact_specific",
    "macro_exact",
    "gain_share",
    "gain_share_specific",
    "macro_gain_share",
    "verdicts",
    "unreadable",
    "lenient",
    "lenient_specific",
    "truthless_named",
    "distinct_names",
    "told_apart",
    "apart",
    "score_precision_r",
    "active_above",
    "repeats",
    "intervals",
    "kinds",
    "controls",
    "fvu",
    "fvu_normalized",
    "explained_variance",
    "r2_mean",
    "l0",
    "dead_share",
    "dense_share",
    "loss_recovered",
    "denoising_error",
    "image_change",
    "fit_seconds",
    "labeled",
    "fine",
    "scores",
]


def evaluation(truth: TruthFigures | None) -> Evaluation:
    return Evaluation("mid", "x", "topk", 3, 2, 1, 12, 1.0, truth, RECONSTRUCTION, SpliceFigures(0.5), 1.5)


TRUTH = TruthFigures(
    2 / 3,
    1 / 3,
    0.5,
    {"shape": 2},
    {"exact": 0.88, "macro_exact": None},
    {"specific": [0.1, 0.5]},
    {"lenient": 0.5, "names": {"lenient": "red edge"}},
    {"lenient": 0.25, "names": {"lenient": "red"}},
    {"concepts": ["red"], "truths": [None, [0, 0.123456789, 0.1, 2.0, 3], None], "precisions": [[], None, []]},
)


@pytest.mark.parametrize("truth", [None, TRUTH])
def test_what_is_stored_is_read_back(truth: TruthFigures | None) -> None:
    stored = json.loads(json.dumps(evaluation(truth).as_dict()))
    again = Evaluation.from_dict(stored)
    assert again.as_dict() == stored
    assert list(again.as_dict()) == list(stored)
    assert (again.truth is None) == (truth is None)
    if truth is not None:
        assert again.truth is not None
        assert again.truth.features == truth.features  # not rounded
    assert again.kept == {**{key: rounded(value) for key, value in RECONSTRUCTION.items()}, "loss_recovered": 0.5}


def test_a_report_has_its_keys_with_and_without_a_truth() -> None:
    labels = LabelFigures(
        accuracy={"label_accuracy": 0.51239, "label_accuracy_specific": None},
        shuffled={"label_accuracy": 0.1, "label_accuracy_specific": None},
        truthless_named=0.5,
        intervals={"label_accuracy": (0.4, 0.60001), "exact": None},
        verdicts={"exact": 1, "wrong": 1},
        unreadable={"zeppelin": "no such word"},
        score_precision_r=None,
        apart=ApartFigures(
            40, 30, 20, 0.61239, 0.1, 50, 6, 0.5, 0.1, 0.9, 4, 0.75, 0.2, {"told_apart": (0.5, 0.7), "x": None}
        ),
    )
    scores = ScoreFigures("gain", None, 2, 0, 0.123456, None, None, 0.5, None, 0, 4, 0, None, None, 0.7, None, None, 1)
    directions = {"random": {"grounded": 0.123456, "specific": 0.0}}
    with_truth = EvaluationReport(evaluation(TRUTH), 2, labels, (scores,), directions).as_dict()
    assert list(with_truth) == KEYS
    assert with_truth["label_accuracy"] == 0.5124
    assert with_truth["truthless_named"] == 0.5
    found = {"specific": [0.1, 0.5], "label_accuracy": [0.4, 0.6], "exact": None, "told_apart": [0.5, 0.7], "x": None}
    assert with_truth["intervals"] == found
    assert (with_truth["distinct_names"], with_truth["told_apart"]) == (40, 0.6124)
    assert with_truth["apart"]["distinct_before"] == 30
    assert with_truth["verdicts"] == {"exact": 1, "wrong": 1}
    assert with_truth["unreadable"] == {"zeppelin": "no such word"}
    assert with_truth["controls"] == {
        "random": {"grounded": 0.1235, "specific": 0.0},
        "constant": TRUTH.constant,
        "majority": TRUTH.majority,
        "shuffled": {**labels.shuffled, "told_apart": 0.1},
    }
    assert with_truth["scores"] == [{**scores.as_dict(), "value": 0.1235}]
    without = EvaluationReport(evaluation(None), 0, None, ()).as_dict()
    assert list(without) == KEYS
    assert without["controls"] is None


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_rounding_twice_is_rounding_once(value: float) -> None:
    assert rounded(rounded(value)) == rounded(value)
    assert rounded({"a": {"b": value}}) == {"a": {"b": rounded(value)}}


def test_the_command_reports_what_it_stored(workspace: Path, cli: Callable[..., Any], query: Any) -> None:
    first = cli("-w", workspace, "evaluate", "--layer", "mid", "--json")
    assert first.code == 0, first.err
    ((stored,),) = query(workspace, "SELECT result FROM runs WHERE kind = 'evaluate' AND dictionary_id IS NOT NULL")
    stored = json.loads(stored) if isinstance(stored, str) else stored
    report = json.loads(first.out)
    assert list(report) == KEYS
    assert {key: report[key] for key in KEYS[:7]} == {key: stored[key] for key in KEYS[:7]}
    assert set(stored) == {*KEYS, "features_truths"} - {"labeled", "scores", "fine"}
    assert report["controls"]["constant"] == stored["controls"]["constant"]
    # The second time nothing is generated, and the answer is the same.
    assert cli("-w", workspace, "evaluate", "--layer", "mid", "--dry-run").out.strip().endswith("up to date")
    assert len(query(workspace, "SELECT id FROM runs WHERE kind = 'evaluate'")) == 3
    assert json.loads(cli("-w", workspace, "evaluate", "--layer", "mid", "--json").out) == report
