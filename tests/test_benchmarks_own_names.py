"""The project's own labelers on a folder of tasks: they see what the folder shows."""

from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner

from autointerp.benchmark.answers import BenchmarkAnswers
from autointerp.benchmark.folder import write_benchmark
from autointerp.benchmark.recipe import BenchmarkRecipe
from autointerp.benchmark.synthetic import SyntheticPlan
from benchmarks import own_names

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
