"""The project's own labelers on a folder of tasks: they see what the folder shows."""

from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner

from autointerp.benchmark.answers import BenchmarkAnswers
from autointerp.benchmark.folder import write_benchmark
from autointerp.benchmark.recipe import BenchmarkRecipe
from autointerp.benchmark.scoring import offered_labels, offered_tasks, scoring_results
from autointerp.benchmark.synthetic import SyntheticPlan
from benchmarks import own_names, own_rows, own_values

RECIPE = BenchmarkRecipe(3, 60, 40, SyntheticPlan(2, (0.04,), (0.1,)), 12)


def test_exact_eyes_name_units_that_the_folder_shows(tmp_path: Path) -> None:
    folder, out = tmp_path / "tasks", tmp_path / "labels.jsonl"
    write_benchmark("naming", RECIPE, folder, tmp_path / "answers.json")
    units = own_names.units_of(folder)
    assert all(len(unit.crops) == len(unit.cells) > 0 for unit in units.values())
    assert all(crop.active is not None and crop.active[crop.cell] for unit in units.values() for crop in unit.crops)
    usual = own_names.usual_of(list(units.values()))
    assert 0 < len(usual.prompts) <= 60
    done = CliRunner().invoke(own_names.main, [str(folder), "--labeler", "exact", "-o", str(out)])
    assert done.exit_code == 0, done.output
    names = {line["unit"]: line["name"] for line in map(json.loads, out.read_text().splitlines())}
    assert list(names) == list(units)
    answers = BenchmarkAnswers.read(tmp_path / "answers.json")
    forms = {unit.name: unit.form for unit in answers.units}
    assert all(not names[unit] for unit, form in forms.items() if form == "nothing")
    truths = {u.name: t.concept.name for u, t in zip(answers.units, answers.truths.truths, strict=True) if t}
    assert any(names[unit] == truth for unit, truth in truths.items())


def test_scores_of_labels_that_the_folder_offers(tmp_path: Path) -> None:
    folder = tmp_path / "tasks"
    write_benchmark("scoring", RECIPE, folder, tmp_path / "answers.json", offered_tasks)
    answers = BenchmarkAnswers.read(tmp_path / "answers.json")
    labels = offered_labels(answers)
    # A unit has several labels, and is read once.
    assert len(own_names.units_of(folder)) < len(labels)
    done = CliRunner().invoke(own_values.main, [str(folder), "--judge", "exact", "-o", str(tmp_path / "v.jsonl")])
    assert done.exit_code == 0, done.output
    values = {line["label"]: line["value"] for line in map(json.loads, (tmp_path / "v.jsonl").read_text().splitlines())}
    assert set(values) <= {label.name for label in labels}
    assert scoring_results(answers, labels, values)["ways"]["all"]["auroc"] > 0.8
    # The embedder sees crops, and so each of them as another one.
    assert len(set(own_values.values_by("clip", folder).values())) > len(labels) // 2


def test_clip_sees_as_many_crops_as_there_are(tmp_path: Path) -> None:
    folder = tmp_path / "tasks"
    write_benchmark("naming", RECIPE, folder, tmp_path / "answers.json")
    units = own_names.units_of(folder)
    numbers = [crop.crop_id for unit in units.values() for crop in unit.crops]
    assert len(set(numbers)) == len(numbers)
    assert any(own_names.named_by("clip", list(units.values()), folder).values())


def test_rows_are_means_over_seeds_and_go_on(tmp_path: Path) -> None:
    kept = tmp_path / "rows.jsonl"
    given = ["--quick", "--labeler", "exact", "--judge", "exact", "--kept", str(kept), "--seeds"]
    first = CliRunner().invoke(own_rows.main, [*given, "1"])
    assert first.exit_code == 0, first.output
    stored = kept.read_text()
    second = CliRunner().invoke(own_rows.main, [*given, "2"])
    assert kept.read_text().startswith(stored)
    assert [line.split(" | ")[0] for line in second.output.splitlines() if line.startswith("| ")] == [
        "| naming", "| exact", "| constant", "| majority", "| scoring", "| exact", "| shortest", "| rarest",
    ]  # fmt: skip
    assert own_rows.mean_of([0.5, 0.7], True) == "0.600 (0.000 to 1.000)"
    assert own_rows.mean_of([0.5, 0.6, 0.7], True) == "0.600 (0.352 to 0.848)"
    assert own_rows.mean_of([0.5, 0.7], False) == "0.600"
