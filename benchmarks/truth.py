"""How far the truth can be trusted: over seeds, over thresholds of being active, and over numbers of pictures.

For each seed a dictionary is fitted on pictures of its own, and its features and as many random activations of the
layer are held against the truth on held-out pictures of its own. Finished seeds are kept in a folder, so that a stopped
run goes on.

    python -m benchmarks.truth -o DIR
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np

from autointerp.crops.records import ACTIVE_SHARE
from autointerp.project.context import Context
from autointerp.project.settings import Settings
from autointerp.project.workspace import WorkspaceFolder
from autointerp.shapes.concepts import Concept, concept_masks
from autointerp.shapes.halves import HalfTruths, spread
from autointerp.shapes.truth import TruthSearch
from autointerp.shapes.verdict import Collected, Firing
from benchmarks.few_steps import collected, directions_of, fitted

SHARES = (0.0, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5)
"""Shares of the maximum above which a feature is active; that of `evaluate` is among them."""
GRID = (12, 12)


@click.command()
@click.option("-o", "--out", type=click.Path(path_type=Path), required=True, help="Folder of finished seeds.")
@click.option("--model", default="shapes-turbo", show_default=True)
@click.option("--steps", default=4, show_default=True, help="Denoising steps; the last one is read.")
@click.option("--layer", default="mid", show_default=True)
@click.option("--seeds", default=5, show_default=True, help="Seeds of fit and of pictures.")
@click.option("--fit-images", default=350, show_default=True, help="Images that a dictionary is fitted on.")
@click.option("--images", default=1000, show_default=True, help="Held-out images that truth is read on.")
def main(out: Path, model: str, steps: int, layer: str, seeds: int, fit_images: int, images: int) -> None:
    """Print what the features' truths are over seeds, thresholds and numbers of pictures."""
    out.mkdir(parents=True, exist_ok=True)
    found = []
    for seed in range(seeds):
        file = out / f"{model}.{steps}.{layer}.{fit_images}.{images}.{seed}.json"
        if not file.is_file():
            click.echo(f"seed {seed} ...", err=True)
            file.write_text(json.dumps(measured(model, steps, layer, seed, fit_images, images), indent=1))
        found.append(json.loads(file.read_text()))
    click.echo(tables(found))


def measured(model: str, steps: int, layer: str, seed: int, fit_images: int, images: int) -> dict[str, Any]:
    """Fit a dictionary, generate held-out pictures, and return all figures of a seed."""
    with tempfile.TemporaryDirectory() as folder:
        values = {"model": model, "steps": steps, "images": fit_images, "seed": seed}
        ctx = Context(WorkspaceFolder.create(Path(folder) / "w", Settings.from_values(values)))
        place = (layer, ctx.layer(layer).signal, steps - 1)
        trained, _ = collected(ctx, [place], ctx.jobs(0, fit_images), truth=False)
        held, cells = collected(ctx, [place], ctx.prompts.held_out(images, seed, fit_images), truth=True)
        defaults, acts = ctx.description.defaults, trained[place]
        latents, k = defaults.expansion * acts.shape[1], defaults.k or 12
        own = fitted(acts, latents, k, defaults.passes, seed, steps - 1)
        firings = {}
        for name, dictionary in (("own", own), ("activations", directions_of(acts, latents, k, seed))):
            seen = Collected(latents)
            seen.add(dictionary.encode(held[place]), 0)
            firings[name] = seen.firing()
    return figures_of(firings, cells, seed)


def figures_of(firings: dict[str, Firing], cells: dict[str, np.ndarray], seed: int) -> dict[str, Any]:
    """Return the figures of features and controls, each by where they fire, on the same pictures."""
    images = len(cells["part"])
    concepts, masks = concept_masks(cells)
    curve: dict[str, list[float]] = {}
    for name, firing in firings.items():
        for share in SHARES:
            active = firing.active(share, np.ones(images, bool), GRID)
            truths = TruthSearch(active, concepts, masks).truths()
            specific = sum(t is not None and t.concept.specific for t in truths) / firing.num_features
            curve.setdefault(name, []).append(specific)
    repeats = {}
    count = images
    while count >= 100:
        some = np.arange(images) < count
        search = TruthSearch(firings["own"].active(ACTIVE_SHARE, some, GRID), concepts, masks[:, some])
        repeats[str(count)] = _repeats(HalfTruths.of(search, seed), concepts)
        count //= 2
    return {"seed": seed, "curve": curve, "repeats": repeats}


def _repeats(halves: HalfTruths, concepts: list[Concept]) -> dict[str, float | None]:
    return {**halves.repeats(concepts), "error": spread(halves.shares(concepts)["specific"])}


def tables(found: Sequence[dict[str, Any]]) -> str:
    """Return three Markdown tables: a row a seed, a row a threshold, a row a number of pictures."""
    at = SHARES.index(ACTIVE_SHARE)
    lines = ["| seed | specific | of random activations | difference |", "|---|---|---|---|"]
    pairs = np.array([[one["curve"][name][at] for name in ("own", "activations")] for one in found])
    for one, (own, control) in zip(found, pairs, strict=True):
        lines.append(f"| {one['seed']} | {own:.1%} | {control:.1%} | {own - control:.1%} |")
    differences = pairs[:, 0] - pairs[:, 1]
    means = [f"{_mean(values)}" for values in (pairs[:, 0], pairs[:, 1], differences)]
    lines += [f"| mean (deviation) | {' | '.join(means)} |", ""]
    lines += ["| active above | specific | of random activations | difference |", "|---|---|---|---|"]
    for row, share in enumerate(SHARES):
        own, control = (np.array([one["curve"][name][row] for one in found]) for name in ("own", "activations"))
        lines.append(f"| {share} | {_mean(own)} | {_mean(control)} | {_mean(own - control)} |")
    lines += ["", "| pictures in each half | specific truths that repeat | all that repeat | mean over concepts |"]
    lines += ["|---|---|---|---|"]
    for count in found[0]["repeats"]:
        keys = ("exact_specific", "exact", "macro_exact")
        shares = [_mean(np.array([one["repeats"][count][key] for one in found], float)) for key in keys]
        lines.append(f"| {int(count) // 2} | {' | '.join(shares)} |")
    return "\n".join(lines)


def _mean(values: np.ndarray) -> str:
    return f"{100 * values.mean():.1f}% ({100 * values.std(ddof=min(1, len(values) - 1)):.1f})"


if __name__ == "__main__":
    main()
