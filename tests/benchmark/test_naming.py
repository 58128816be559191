from __future__ import annotations

import json
from pathlib import Path

import pytest

from autointerp.benchmark.answers import BenchmarkAnswers
from autointerp.benchmark.naming import KEYS, naming_results, score_names
from autointerp.benchmark.recipe import Benchmark


@pytest.fixture(scope="module")
def answers(benchmark_made: Benchmark) -> BenchmarkAnswers:
    return benchmark_made.answers


def _truths(answers: BenchmarkAnswers) -> dict[str, str]:
    return {
        unit.name: "" if truth is None else truth.concept.name
        for unit, truth in zip(answers.units, answers.truths.truths, strict=True)
    }


def test_the_truths_are_exact_and_blind_names_are_not(answers: BenchmarkAnswers) -> None:
    found = naming_results(answers, _truths(answers))
    for group, figures in found["groups"].items():
        assert figures["missing"] == 0
        if "nothing" in group:
            assert figures["exact"] is None
            assert figures["truthless_named"] == 0
        else:
            assert figures["exact"] == figures["macro_exact"] == 1
            assert figures["gain_share"] == pytest.approx(1)
            assert figures["verdicts"]["exact"] == figures["with_truth"]
    controls = found["groups"]["synthetic"]["controls"]
    for control in ("constant", "majority", "shuffled"):
        assert controls[control]["exact"] < 0.4
        assert set(KEYS) <= set(controls[control])
    assert "controls" not in found["groups"]["synthetic: A"]
    assert json.loads(json.dumps(found)) == found


def test_verdicts_say_how_a_name_is_wrong(answers: BenchmarkAnswers) -> None:
    by_form = {unit.form: place for place, unit in enumerate(answers.units)}
    either, without = by_form["A or B"], by_form["A and not B"]
    names = _truths(answers)
    given = {
        answers.units[either].name: names[answers.units[either].name].split(" or ")[0],
        answers.units[without].name: names[answers.units[without].name].split(" not ")[0],
        answers.units[by_form["A"]].name: "shiny",
        answers.units[by_form["nothing"]].name: "red",
    }
    found = naming_results(answers, given)
    verdicts = {one["unit"]: one["verdict"] for one in found["units"]}
    assert verdicts[answers.units[either].name] == "too narrow"
    assert verdicts[answers.units[without].name] == "too broad"
    assert verdicts[answers.units[by_form["A"]].name] == "wrong"
    assert verdicts[answers.units[by_form["nothing"]].name] is None
    whole = found["groups"]["synthetic"]
    assert whole["missing"] == len(answers.units) - 4
    assert whole["named"] == 4
    assert whole["exact"] == 0
    assert whole["truthless_named"] == pytest.approx(1 / 4)
    assert list(whole["unreadable"]) == ["shiny"]


def test_half_of_the_alternatives_is_worth_less_than_all(answers: BenchmarkAnswers) -> None:
    place = next(place for place, unit in enumerate(answers.units) if unit.form == "A or B")
    truth = answers.truths.truths[place]
    assert truth is not None
    ruler = answers.truths.ruler
    assert ruler.gain_share(truth.concept.name)[place] == pytest.approx(1)
    assert ruler.gain_share(truth.concept.name.split(" or ")[0])[place] < 0.85


def test_a_file_is_scored(naming_folder: Path, answers: BenchmarkAnswers, tmp_path: Path) -> None:
    file = tmp_path / "labels.jsonl"
    file.write_text("".join(json.dumps({"unit": u, "name": n}) + "\n" for u, n in _truths(answers).items()))
    found = score_names(naming_folder, file)
    assert found["names"] == "labels.jsonl"
    assert found["groups"]["synthetic"]["exact"] == 1
