from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from autointerp.benchmark.folder import TasksManifest, answers_of, write_benchmark
from autointerp.benchmark.recipe import Benchmark, BenchmarkRecipe
from autointerp.benchmark.synthetic import SyntheticPlan
from autointerp.errors import AutointerpError, UsageError

SMALL = BenchmarkRecipe(1, 6, 6, SyntheticPlan(1, (0.1,), (0.2,)), 2)


def _contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_folder_holds_each_unit_and_no_answer(naming_folder: Path, benchmark_made: Benchmark) -> None:
    tasks = [json.loads(line) for line in (naming_folder / "tasks.jsonl").read_text().splitlines()]
    assert [task["unit"] for task in tasks] == [unit.name for unit in benchmark_made.answers.units]
    assert len(list((naming_folder / "pictures").iterdir())) == 30
    for task in tasks:
        folder = naming_folder / task["folder"]
        unit = json.loads((folder / "unit.json").read_text())
        maps = np.load(folder / "maps.npy")
        assert maps.shape == (task["pictures"], 12, 12)
        assert len(unit["crops"]) == task["pictures"] > 0
        for crop, heat in zip(unit["crops"], maps, strict=True):
            plain, marked = (
                np.asarray(Image.open(folder / f"{crop['crop']}.{kind}.png")) for kind in ("plain", "marked")
            )
            assert plain.shape == marked.shape == (96, 96, 3)
            assert (plain != marked).any()
            assert heat[tuple(crop["cell"])] == pytest.approx(crop["activation"], abs=1e-4)
            assert (naming_folder / crop["picture"]).is_file()
    text = b"".join(_contents(naming_folder).values())
    assert b'"form"' not in text
    assert b'"truth"' not in text


def test_the_same_recipe_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in "ab":
        write_benchmark("naming", SMALL, tmp_path / name, None)
    assert _contents(tmp_path / "a") == _contents(tmp_path / "b")


def test_answers_are_made_anew_or_read(naming_folder: Path, benchmark_made: Benchmark, tmp_path: Path) -> None:
    assert answers_of(naming_folder, "naming", None).digest == benchmark_made.answers.digest
    write_benchmark("naming", SMALL, tmp_path / "tasks", tmp_path / "answers.json")
    assert json.loads((tmp_path / "tasks" / "benchmark.json").read_text())["recipe"] is None
    with pytest.raises(UsageError, match="are withheld"):
        answers_of(tmp_path / "tasks", "naming", None)
    found = answers_of(tmp_path / "tasks", "naming", tmp_path / "answers.json")
    assert len(found.units) == len((tmp_path / "tasks" / "tasks.jsonl").read_text().splitlines())
    with pytest.raises(AutointerpError, match="are not those of"):
        answers_of(naming_folder, "naming", tmp_path / "answers.json")


def test_wrong_folders_are_said(naming_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no tasks"):
        TasksManifest.read(tmp_path, "naming")
    with pytest.raises(UsageError, match="are of `benchmark naming`"):
        TasksManifest.read(naming_folder, "scoring")
    (tmp_path / "benchmark.json").write_text("{}")
    with pytest.raises(UsageError, match="is damaged"):
        TasksManifest.read(tmp_path, "naming")
    (tmp_path / "benchmark.json").write_text('{"version": 0}')
    with pytest.raises(UsageError, match="of version 0"):
        TasksManifest.read(tmp_path, "naming")
    with pytest.raises(UsageError, match="is there already"):
        write_benchmark("naming", SMALL, tmp_path, None)


def test_nothing_is_left_of_tasks_that_cannot_be_made(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        write_benchmark("naming", BenchmarkRecipe(0, 2, 2, SyntheticPlan(1, (0.5,), ())), tmp_path / "tasks", None)
    assert not (tmp_path / "tasks").exists()
