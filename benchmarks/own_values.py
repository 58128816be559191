"""Values by the project's own scores for the labels in a folder of `autointerp benchmark scoring`.

A score sees what the folder shows: the crops of each unit, and the pictures of the whole folder. `exact` and
`shapes-vlm` judge marked cells for the score `gain`: active cells of the unit against random cells of the pictures.
`clip` is the score `embedding`: how similar the words are to the unit's crops, against pictures in which it is silent.

    python -m benchmarks.own_values DIR --judge exact -o values.jsonl
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import numpy as np

from autointerp.crops.geometry import crop_box
from autointerp.labeling.judging import score_method
from autointerp.labeling.judging.methods import Limits, Method
from autointerp.labeling.protocol import BaseRate, CropEvidence, FeatureEvidence, ScoreEvidence
from benchmarks.eyes import Asked, ExactEyes, Eyes, VlmEyes
from benchmarks.own_names import picture_of, units_of

LIMITS = Limits(questions=20, cells=50)


def random_cells(folder: Path, grid: tuple[int, int]) -> tuple[CropEvidence, ...]:
    """Return random cells of the pictures of a folder, the same ones each time."""
    paths = sorted((folder / "pictures").iterdir())
    rng, found = np.random.default_rng(0), []
    for at in rng.choice(len(paths), LIMITS.cells).tolist():
        image, picture = picture_of(folder, f"pictures/{paths[at].name}")
        row, col = (int(rng.integers(size)) for size in grid)
        box = crop_box((row, col), grid, picture.size)
        found.append(CropEvidence(None, image, "", picture, box, grid, (row, col), 0.0, None, "random"))
    return tuple(found)


def shown_of(units: Mapping[str, FeatureEvidence], cells: tuple[CropEvidence, ...]) -> dict[str, ScoreEvidence]:
    """Return the units as scores see features, by name."""
    return {
        name: ScoreEvidence(
            unit.feature_id,
            active=unit.cells,
            cells=cells,
            firing=tuple(replace(crop, role="top") for crop in unit.crops),
            silent=unit.negatives,
        )
        for name, unit in units.items()
    }


def judged(tasks: Sequence[Mapping[str, Any]], shown: Mapping[str, ScoreEvidence], eyes: Eyes) -> list[float | None]:
    """Return the gain of each label, asked of eyes; the base rate is asked once for each name."""
    method = score_method("gain").within(LIMITS)
    assert method.question is not None
    judge, bases = Asked(eyes, method.question), dict[str, BaseRate]()
    asked = [_trials(method, task, shown[task["unit"]]) for task in tasks]
    shared = {task["name"]: method.shared_trials(task["name"], shown[task["unit"]]) for task in tasks}
    eyes.learn(method.question, [trial for trials in (*asked, *shared.values()) for trial in trials])
    for name, trials in shared.items():
        verdicts = judge.judge(trials)
        bases[name] = BaseRate(*(sum(v.holds is holds for v in verdicts) for holds in (True, False)))
    found = []
    for task, trials in zip(tasks, asked, strict=True):
        base = bases[task["name"]]
        found.append(method.result(method.ask(judge, trials, base), 0, base).value)  # type: ignore[arg-type]
    return found


def embedded(tasks: Sequence[Mapping[str, Any]], shown: Mapping[str, ScoreEvidence]) -> list[float | None]:
    """Return the embedding score of each label, by the embedder of shapes."""
    from autointerp.labeling.evidence.windows import WindowEmbedder
    from autointerp.labeling.judging.embedder_judge import EmbedderJudge
    from autointerp.labeling.labelers.clip_options import ClipOptions
    from autointerp.shapes.clip import ShapesClip

    clip, method = ShapesClip.load(), score_method("embedding")
    judge = EmbedderJudge(clip, WindowEmbedder(clip, ClipOptions().windows))
    return [method.result(judge.judge(_trials(method, task, shown[task["unit"]])), 0).value for task in tasks]


def _trials(method: Method, task: Mapping[str, Any], shown: ScoreEvidence) -> list[Any]:
    return method.trials(task["name"], "", shown, np.random.default_rng((0, shown.latent)))


def values_by(kind: str, folder: Path) -> dict[str, float]:
    """Return the value of each label of a folder that has one, by `exact`, `shapes-vlm` or `clip`."""
    tasks = [json.loads(line) for line in (folder / "tasks.jsonl").read_text().splitlines()]
    units = units_of(folder)
    grid = next(crop.grid for unit in units.values() for crop in unit.crops)
    shown = shown_of(units, random_cells(folder, grid))
    if kind == "clip":
        values = embedded(tasks, shown)
    else:
        values = judged(tasks, shown, ExactEyes() if kind == "exact" else VlmEyes())
    return {task["label"]: value for task, value in zip(tasks, values, strict=True) if value is not None}


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, exists=True))
@click.option("--judge", "kind", required=True, type=click.Choice(("exact", "shapes-vlm", "clip")))
@click.option("-o", "--out", required=True, type=click.Path(path_type=Path))
def main(folder: Path, kind: str, out: Path) -> None:
    """Write a value for each label of a folder; labels without one are left out."""
    values = values_by(kind, folder)
    out.write_text("".join(json.dumps({"label": label, "value": value}) + "\n" for label, value in values.items()))


if __name__ == "__main__":
    main()
