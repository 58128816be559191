from __future__ import annotations

import json
from pathlib import Path

import pytest

from autointerp.benchmark.answers import BenchmarkAnswers
from autointerp.benchmark.folder import write_benchmark
from autointerp.benchmark.recipe import Benchmark
from autointerp.benchmark.scoring import OfferedLabel, offered_labels, offered_tasks, score_values, scoring_results
from autointerp.shapes.broken_names import BREAKS
from tests.benchmark.conftest import RECIPE


@pytest.fixture(scope="module")
def answers(benchmark_made: Benchmark) -> BenchmarkAnswers:
    return benchmark_made.answers


@pytest.fixture(scope="module")
def labels(answers: BenchmarkAnswers) -> list[OfferedLabel]:
    return offered_labels(answers)


def test_each_unit_with_a_truth_has_a_right_label_and_broken_ones(
    answers: BenchmarkAnswers, labels: list[OfferedLabel]
) -> None:
    with_truth = {place for place, truth in enumerate(answers.truths.truths) if truth is not None}
    assert {label.place for label in labels if label.way is None} == with_truth
    assert {label.way for label in labels} == {None, *BREAKS}
    for label in labels:
        truth = answers.truths.truths[label.place]
        assert truth is not None
        verdict = answers.truths.ruler.verdict(label.text, truth.concept.name)
        assert (verdict == "exact") == (label.way is None)
        if label.way in ("too broad", "too narrow"):
            assert verdict == label.way
    assert [label.name for label in labels] == [f"label:{number}" for number in range(len(labels))]
    assert offered_labels(answers) == labels


def test_values_that_know_the_answers_tell_all_apart(answers: BenchmarkAnswers, labels: list[OfferedLabel]) -> None:
    known = {label.name: float(label.way is None) for label in labels}
    for way in scoring_results(answers, labels, known)["ways"].values():
        assert way["auroc"] == 1
        assert way["wrong"] >= 1
    blind = scoring_results(answers, labels, dict.fromkeys(known, 0.5))
    assert {way["auroc"] for way in blind["ways"].values()} == {0.5}
    # Narrow names hold more rarely than right ones, and broad ones more often.
    rarest = blind["controls"]["rarest"]
    assert rarest["too narrow"]["auroc"] < 0.5 < rarest["too broad"]["auroc"]


def test_missing_values_count_as_told_wrong(answers: BenchmarkAnswers, labels: list[OfferedLabel]) -> None:
    known = {label.name: float(label.way is None) for label in labels}
    for way in (None, "random"):
        some = {label.name: known[label.name] for label in labels if label.way != way}
        found = scoring_results(answers, labels, some)
        assert found["missing"] == len(labels) - len(some)
        assert found["ways"]["random"]["auroc"] == 0
    assert scoring_results(answers, labels, known)["missing"] == 0


def test_a_folder_of_labels_is_scored(tmp_path: Path, labels: list[OfferedLabel]) -> None:
    assert write_benchmark("scoring", RECIPE, tmp_path / "tasks", None, offered_tasks).tasks == len(labels)
    tasks = [json.loads(line) for line in (tmp_path / "tasks" / "tasks.jsonl").read_text().splitlines()]
    assert [(task["label"], task["name"]) for task in tasks] == [(label.name, label.text) for label in labels]
    assert "way" not in tasks[0]
    assert (tmp_path / "tasks" / tasks[0]["folder"] / "unit.json").is_file()
    lines = [json.dumps({"label": label.name, "value": -float(label.way is not None)}) for label in labels]
    (tmp_path / "values.jsonl").write_text("\n".join(lines))
    assert score_values(tmp_path / "tasks", tmp_path / "values.jsonl")["ways"]["all"]["auroc"] == 1
