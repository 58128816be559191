"""The folder of a benchmark: pictures, a folder for each unit, the list of tasks, and the rules."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from autointerp.benchmark.answers import SYNTHETIC, BenchmarkAnswers
from autointerp.benchmark.evidence import ShownEvidence
from autointerp.benchmark.recipe import Benchmark, BenchmarkRecipe, make_benchmark
from autointerp.benchmark.rules import rules_of
from autointerp.benchmark.shown import ShownUnit
from autointerp.crops.records import ACTIVE_SHARE
from autointerp.crops.render import render_crop
from autointerp.errors import AutointerpError, UsageError
from autointerp.files import whole_file
from autointerp.text_files import read_text

if TYPE_CHECKING:
    from PIL import Image

BenchmarkKind = Literal["naming", "scoring"]
MANIFEST, TASKS = "benchmark.json", "tasks.jsonl"
VERSION = 1
"""Raise it when the same recipe gives other tasks."""
SIDE = 96
"""Longer side of a crop in pixels."""


@dataclass(frozen=True)
class TasksManifest:
    """What a folder of tasks says of itself.

    Attributes:
        kind: Which benchmark it is of.
        digest: `BenchmarkAnswers.digest` of its answers.
        recipe: What it was made of; None where the answers are in a file.
    """

    kind: BenchmarkKind
    digest: str
    recipe: BenchmarkRecipe | None

    @classmethod
    def read(cls, folder: Path, kind: BenchmarkKind) -> TasksManifest:
        """Read the manifest of a folder.

        Raises:
            UsageError: The folder holds no tasks of this benchmark and version.
        """
        path = folder / MANIFEST
        if not path.is_file():
            raise UsageError(
                f"{folder} holds no tasks",
                f"make them with `autointerp benchmark {kind} -o {folder}`, or check --tasks",
            )
        try:
            stored = json.loads(read_text(path))
            if stored["version"] != VERSION:
                raise UsageError(
                    f"the tasks in {folder} are of version {stored['version']}, this is {VERSION}", "make them anew"
                )
            recipe = stored["recipe"]
            found = cls(stored["kind"], stored["answers_sha256"], recipe and BenchmarkRecipe.from_dict(recipe))
        except (ValueError, KeyError, TypeError):
            raise UsageError(f"{path} is damaged", "make the tasks anew") from None
        if found.kind != kind:
            raise UsageError(
                f"the tasks in {folder} are of `benchmark {found.kind}`", f"score them with `benchmark {found.kind}`"
            )
        return found

    def write(self, folder: Path) -> None:
        """Write the manifest."""
        stored = {
            "kind": self.kind,
            "version": VERSION,
            "answers_sha256": self.digest,
            "recipe": None if self.recipe is None else self.recipe.as_dict(),
        }
        _write_text(folder / MANIFEST, json.dumps(stored, indent=2) + "\n")


TaskMaker = Callable[[BenchmarkAnswers, Sequence[Mapping[str, Any]]], Sequence[Mapping[str, Any]]]
"""Makes the list of tasks, of a task for each unit."""


@dataclass(frozen=True)
class WrittenTasks:
    """What was written.

    Attributes:
        tasks: How many tasks.
        synthetic: How many synthetic units they are of.
        units: How many units, features with them.
        missing: Of which synthetic units there are fewer than asked for.
    """

    tasks: int
    synthetic: int
    units: int
    missing: tuple[str, ...]


def write_benchmark(
    kind: BenchmarkKind,
    recipe: BenchmarkRecipe,
    out: Path,
    answers: Path | None,
    tasks_of: TaskMaker | None = None,
    make: Callable[[BenchmarkRecipe], Benchmark] = make_benchmark,
) -> WrittenTasks:
    """Write a folder of tasks.

    Args:
        kind: Which benchmark.
        recipe: What it is made of.
        out: A new or empty folder.
        answers: A file for the answers. The folder then holds nothing that they could be made from.
        tasks_of: Makes the list of tasks; a task for each unit if None.
        make: Makes the benchmark. One that is not made of the recipe alone needs a file for its answers.

    Raises:
        UsageError: The folder is not empty, or no unit can be made.
        AutointerpError: A file cannot be written.
    """
    _check_new(out)
    benchmark = make(recipe)
    if answers is not None:
        benchmark.answers.write(answers)
    try:
        out.mkdir(parents=True, exist_ok=True)
        tasks: Sequence[Mapping[str, Any]] = write_units(benchmark, out, kind, answers is not None)
        tasks = tasks if tasks_of is None else tasks_of(benchmark.answers, tasks)
        # Last of all, so that a folder that has it is whole.
        _write_text(out / TASKS, "".join(json.dumps(task) + "\n" for task in tasks))
    except BaseException:
        shutil.rmtree(out, ignore_errors=True)
        raise
    units = benchmark.answers.units
    return WrittenTasks(len(tasks), sum(unit.group == SYNTHETIC for unit in units), len(units), benchmark.missing)


def _check_new(out: Path) -> None:
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise UsageError(f"{out} is there already", "name another folder, or remove it")


def write_units(benchmark: Benchmark, out: Path, kind: BenchmarkKind, withheld: bool) -> list[dict[str, Any]]:
    """Write everything but the list of tasks, and return a task for each unit.

    Args:
        benchmark: The benchmark.
        out: An empty folder.
        kind: Which benchmark it is.
        withheld: Whether the recipe is left out, as the answers are in a file.
    """
    evidence, answers = ShownEvidence(benchmark), benchmark.answers
    (out / "pictures").mkdir()
    (out / "units").mkdir()
    from PIL import Image

    pictures = [Image.fromarray(one) for one in benchmark.pictures.images[: benchmark.pictures.shown]]
    for number, picture in enumerate(pictures):
        _write_png(out / "pictures" / f"{number:05}.png", picture)
    tasks = []
    for place, unit in enumerate(answers.units):
        folder = out / "units" / unit.name.replace(":", "-")
        folder.mkdir()
        shown = evidence.of(place)
        _write_unit(folder, unit.name, shown, pictures, benchmark.pictures.prompts)
        tasks.append({"unit": unit.name, "folder": f"units/{folder.name}", "pictures": len(shown.pictures)})
    TasksManifest(kind, answers.digest, None if withheld else benchmark.recipe).write(out)
    _write_text(
        out / "README.md", rules_of(kind, len(tasks), benchmark.recipe, withheld, benchmark.pictures.images.shape[1])
    )
    return tasks


def _write_unit(
    folder: Path, name: str, shown: ShownUnit, pictures: list[Image.Image], prompts: tuple[str, ...]
) -> None:
    rows = []
    for number, one in enumerate(shown.pictures, 1):
        picture, on = pictures[one.image], (one.heat > ACTIVE_SHARE * shown.maximum).astype(np.float32)
        _write_png(folder / f"{number:02}.plain.png", render_crop(picture, one.box, mark=False, side=SIDE))
        _write_png(folder / f"{number:02}.marked.png", render_crop(picture, one.box, on, side=SIDE))
        rows.append(
            {
                "crop": f"{number:02}",
                "picture": f"pictures/{one.image:05}.png",
                "prompt": prompts[one.image],
                "cell": list(one.cell),
                "box": list(one.box),
                "activation": round(float(one.heat[one.cell]), 5),
            }
        )
    grid = shown.pictures[0].heat.shape if shown.pictures else (0, 0)
    maps = np.stack([one.heat for one in shown.pictures]) if shown.pictures else np.zeros((0, *grid), np.float32)
    buffer = io.BytesIO()
    np.save(buffer, maps)
    (folder / "maps.npy").write_bytes(buffer.getvalue())
    said = {
        "unit": name,
        "maximum": round(shown.maximum, 5),
        "active_above": ACTIVE_SHARE,
        "density": round(shown.density, 6),
        "crops": rows,
        "silent": [{"picture": f"pictures/{image:05}.png", "prompt": prompts[image]} for image in shown.silent],
    }
    _write_text(folder / "unit.json", json.dumps(said, indent=1) + "\n")


def answers_of(folder: Path, kind: BenchmarkKind, answers: Path | None) -> BenchmarkAnswers:
    """Return the answers of a folder of tasks: from their file, or made anew.

    Raises:
        UsageError: The folder holds no tasks, or their answers were withheld and no file is given.
        AutointerpError: The answers are of other tasks.
    """
    manifest = TasksManifest.read(folder, kind)
    if answers is not None:
        found = BenchmarkAnswers.read(answers)
    elif manifest.recipe is not None:
        found = make_benchmark(manifest.recipe).answers
    else:
        raise UsageError(f"the answers of {folder} are withheld", "give the file that holds them with --answers FILE")
    if found.digest != manifest.digest:
        raise AutointerpError(
            f"the answers are not those of {folder}",
            "name the right --answers FILE, or make the tasks anew: they are of another version",
        )
    return found


def _write_text(path: Path, text: str) -> None:
    with whole_file(path, durable=False) as partial:
        partial.write_text(text, encoding="utf-8")


def _write_png(path: Path, picture: Image.Image) -> None:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    path.write_bytes(buffer.getvalue())
