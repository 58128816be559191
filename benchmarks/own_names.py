"""Names by the project's own labelers for the units in a folder of `autointerp benchmark naming`.

A labeler sees what the folder shows: crops with their maps, silent pictures, and the prompts and pictures of the whole
folder as what is usual. `exact` reads the truth of the shown cells and follows the rule of `benchmarks.evidence`.

    python -m benchmarks.own_names DIR --labeler prompts -o labels.jsonl
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click
import numpy as np
from PIL import Image

from autointerp.labeling.protocol import CropEvidence, FeatureEvidence, LayerContext

AGREE = 0.6
"""Share of the shown cells that must share a concept for `exact`: noisy units lose up to a third."""
USUAL = 500
"""Crops that tell what is usual."""


def units_of(folder: Path) -> dict[str, FeatureEvidence]:
    """Return the units of a folder as a labeler sees features, by name."""
    found: dict[str, FeatureEvidence] = {}
    tasks = [json.loads(line) for line in (folder / "tasks.jsonl").read_text().splitlines()]
    for number, task in enumerate(tasks):
        if task["unit"] in found:
            continue
        unit = json.loads((folder / task["folder"] / "unit.json").read_text())
        maps = np.load(folder / task["folder"] / "maps.npy")
        above = unit["active_above"] * unit["maximum"]
        first = sum(len(one.crops) for one in found.values())
        crops = [
            _crop(folder, crop, heat, above, number)
            for number, (crop, heat) in enumerate(zip(unit["crops"], maps, strict=True), first)
        ]
        crops.sort(key=lambda crop: (-crop.activation, crop.image_id))
        silent = [_silent(folder, one) for one in unit["silent"]]
        found[task["unit"]] = FeatureEvidence(
            task["unit"], number, unit["density"], tuple(crops), tuple(silent), tuple(crops)
        )
    return found


def _crop(folder: Path, crop: dict[str, Any], heat: np.ndarray, above: float, number: int) -> CropEvidence:
    """Return a crop; its number tells a labeler that it is another one."""
    image, picture = picture_of(folder, crop["picture"])
    row, col = crop["cell"]
    box = tuple(crop["box"])
    return CropEvidence(
        number, image, crop["prompt"], picture, box, heat.shape, (row, col), crop["activation"], heat, "active", above
    )


def _silent(folder: Path, one: dict[str, Any]) -> CropEvidence:
    image, picture = picture_of(folder, one["picture"])
    return CropEvidence(
        None, image, one["prompt"], picture, (0, 0, *picture.size), (12, 12), None, 0.0, None, "negative"
    )


def picture_of(folder: Path, path: str) -> tuple[int, Image.Image]:
    """Return a picture of a folder with its number."""
    with Image.open(folder / path) as picture:
        return int(Path(path).stem), picture.convert("RGB")


def usual_of(units: Sequence[FeatureEvidence]) -> LayerContext:
    """Return what is usual in the pictures of a folder, by the crops of all units."""
    crops = [crop for unit in units for crop in unit.crops]
    order = np.random.default_rng(0).permutation(len(crops))[:USUAL]
    shown = {crop.image_id: crop.prompt for unit in units for crop in (*unit.crops, *unit.negatives)}
    return LayerContext(tuple(crops[at] for at in sorted(order)), tuple(shown[image] for image in sorted(shown)))


def named_by(kind: str, units: Sequence[FeatureEvidence], folder: Path) -> dict[str, str]:
    """Return a name for each unit; empty where the labeler finds none."""
    if kind == "exact":
        return exact_names(units, folder)
    from autointerp.labeling.labelers import LABELERS
    from autointerp.project.context import Context
    from autointerp.project.labelers import CommandSetup, LabelerRequest
    from autointerp.project.settings import Settings
    from autointerp.project.workspace import WorkspaceFolder

    if kind == "shapes-vlm":
        from autointerp.labeling.asking.local import LocalChat
        from autointerp.labeling.labelers.vlm import VlmLabeler
        from autointerp.shapes.vlm import MAX_TOKENS, NAME, OPTIONS, load_shapes_vlm

        labeler: Any = VlmLabeler(LocalChat(load_shapes_vlm(), NAME, max_tokens=MAX_TOKENS), OPTIONS, jobs=4)
    else:
        with TemporaryDirectory() as empty:
            ctx = Context(WorkspaceFolder(Path(empty), Settings(model="shapes")))
            labeler = LABELERS.check(kind).load().make_labeler(CommandSetup(ctx, LabelerRequest(kind)))
            labeler.prepare(usual_of(units))
            return _answers(labeler, units)
    labeler.prepare(usual_of(units))
    return _answers(labeler, units)


def _answers(labeler: Any, units: Sequence[FeatureEvidence]) -> dict[str, str]:
    results = {one.feature_id: one for one in labeler.label(units)}
    return {
        unit.feature: results[unit.feature_id].name if results[unit.feature_id].status == "ok" else "" for unit in units
    }


def exact_names(units: Sequence[FeatureEvidence], folder: Path) -> dict[str, str]:
    """Name units by the truth of the shown cells; the folder's pictures give the base rates."""
    from autointerp.shapes.oracle import Oracle
    from benchmarks.evidence import ReadWorld, maps

    paths = sorted((folder / "pictures").iterdir())
    read = Oracle.load().read([picture_of(folder, f"pictures/{path.name}")[1] for path in paths])
    world = ReadWorld([int(path.stem) for path in paths], read)
    return {unit.feature: world.named(maps(unit, len(unit.cells)), AGREE) for unit in units}


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, exists=True))
@click.option("--labeler", "kind", required=True, type=click.Choice(("prompts", "clip", "shapes-vlm", "exact")))
@click.option("-o", "--out", required=True, type=click.Path(path_type=Path))
def main(folder: Path, kind: str, out: Path) -> None:
    """Write a name for each unit of a folder."""
    names = named_by(kind, list(units_of(folder).values()), folder)
    out.write_text("".join(json.dumps({"unit": unit, "name": name}) + "\n" for unit, name in names.items()))


if __name__ == "__main__":
    main()
