"""Tasks of a workspace: what its labelers see, with what `evaluate` found as the answers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from autointerp.benchmark.answers import FEATURE, SYNTHETIC, BenchmarkAnswers
from autointerp.project.context import Context
from autointerp.project.workspace import WorkspaceFolder
from autointerp.stages.evaluate.planning import plan_evaluation

SMALL = ("--each", 1, "--base-rate", 0.1, "--noise", 0.2, "--crops", 5, "--shown", 12, "--features", 3)


def test_features_stand_beside_units_on_the_same_pictures(
    workspace: Path, cli: Callable[..., Any], tmp_path: Path
) -> None:
    folder, answers = tmp_path / "tasks", tmp_path / "answers.json"
    asked = ("-w", workspace, "benchmark", "naming", "-o", folder, "--layer", "mid", *SMALL)
    without = cli(*asked)
    assert without.code == 2
    assert "--answers FILE" in without.err
    early = cli(*asked, "--answers", answers)
    assert early.code == 1
    assert "autointerp evaluate --layer mid --dictionary shapes-turbo.mid.topk" in early.err
    assert not folder.exists()
    assert cli("-w", workspace, "evaluate", "--layer", "mid", "--json").code == 0
    done = cli(*asked, "--answers", answers)
    assert done.code == 0, done.err
    assert "and 3 features" in done.err
    found = BenchmarkAnswers.read(answers)
    units = {unit.name: unit for unit in found.units}
    features = {name: unit for name, unit in units.items() if unit.form == FEATURE}
    assert len(features) == 3
    assert {unit.group for unit in features.values()} == {"shapes-turbo.mid.topk"}
    assert any(unit.group == SYNTHETIC for unit in units.values())
    # The truth of a feature is the one that `evaluate` has.
    ctx = Context(WorkspaceFolder.open(workspace))
    row = ctx.dictionary_of("mid")
    assert row is not None
    known = plan_evaluation(ctx, row).known
    assert known is not None
    assert known.features_truths is not None
    for at, unit in enumerate(found.units):
        if unit.form == FEATURE:
            latent = int(unit.name.rpartition(":")[2])
            assert found.truths.truths[at] == known.features_truths.truths[latent]
    for task in map(json.loads, (folder / "tasks.jsonl").read_text().splitlines()):
        said = json.loads((folder / task["folder"] / "unit.json").read_text())
        maps = np.load(folder / task["folder"] / "maps.npy")
        assert 0 < len(said["crops"]) <= 5
        for crop, heat in zip(said["crops"], maps, strict=True):
            assert (folder / crop["picture"]).is_file()
            assert heat[tuple(crop["cell"])] > 0.25 * said["maximum"]
    names = [{"unit": name, "name": "edge"} for name in units]
    (tmp_path / "labels.jsonl").write_text("\n".join(map(json.dumps, names)))
    scored = cli(
        "benchmark", "naming", "--tasks", folder, "--score", tmp_path / "labels.jsonl", "--answers", answers, "--json"
    )
    groups = json.loads(scored.out)["groups"]
    assert groups["shapes-turbo.mid.topk"]["units"] == 3
    assert groups["synthetic"]["units"] == len(units) - 3
    assert list((tmp_path / "tasks").glob("units/shapes-turbo.mid.topk-*"))


def test_labels_of_features_are_offered_too(workspace: Path, cli: Callable[..., Any], tmp_path: Path) -> None:
    assert cli("-w", workspace, "evaluate", "--layer", "mid", "--json").code == 0
    given = ("--answers", tmp_path / "answers.json", *SMALL)
    done = cli("-w", workspace, "benchmark", "scoring", "-o", tmp_path / "tasks", "--layer", "mid", *given)
    assert done.code == 0, done.err
    tasks = [json.loads(line) for line in (tmp_path / "tasks" / "tasks.jsonl").read_text().splitlines()]
    units = BenchmarkAnswers.read(tmp_path / "answers.json").units
    assert {task["unit"] for task in tasks} <= {unit.name for unit in units}
    assert len({task["label"] for task in tasks}) == len(tasks)
