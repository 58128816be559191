"""What it does to a running model to have dictionaries rebuild their layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from autointerp.db.models import Dictionary
from autointerp.diffusion.layers import Layer
from autointerp.stages.context import Context

SPLICED_IMAGES = 32
"""Of the held-out images, on how many the model runs with a dictionary in a layer's place."""


def measure_splices(ctx: Context, targets: Sequence[tuple[Dictionary, Layer]]) -> dict[int, dict[str, Any]]:
    """What it does to the model to have dictionaries rebuild their layers, by dictionary id.

    `loss_recovered` is 1 where the denoising error stays what it was, 0 where it rises as much as by zero-ablation.
    `image_change` is the mean cosine distance of the embedder's vectors from those of the unchanged pictures; None
    where pictures are real, and nothing is generated. Where the scheduler is of an unknown kind all of it is None, with
    a note.
    """
    from autointerp.diffusion.splice import NoDenoisingError

    try:
        return _measured(ctx, targets)
    except NoDenoisingError as error:
        ctx.progress.note(f"no loss recovered: {error}")
        nothing = dict.fromkeys(("loss_recovered", "denoising_error", "image_change"))
        return {row.id: dict(nothing) for row, _ in targets}


def _measured(ctx: Context, targets: Sequence[tuple[Dictionary, Layer]]) -> dict[int, dict[str, Any]]:
    """The figures of `measure_splices`, by dictionary id."""
    from autointerp.dictionaries.storage import load_dictionary
    from autointerp.diffusion.splice import UNCHANGED, Replacement, splice_images, zeroed

    found: dict[int, dict[str, Any]] = {}
    jobs = ctx.prompts.held_out(ctx.settings.evaluate_images, ctx.settings.seed, ctx.settings.images)[:SPLICED_IMAGES]
    if ctx.settings.images_dir:
        ctx.progress.note("no change of the image: real pictures are read, not generated")
    groups: dict[tuple[int, ...], list[tuple[Dictionary, Layer]]] = {}
    for row, layer in targets:
        groups.setdefault(tuple(row.steps), []).append((row, layer))
    for steps, members in groups.items():
        wanted: dict[str, tuple[Layer, Replacement]] = {}
        for row, layer in members:
            dictionary = load_dictionary(ctx.workspace.dictionary_dir(row.name)).to(ctx.model.device)
            wanted[f"{row.id}"] = (layer, _rebuild(dictionary))
            wanted[f"zeroed {layer.hookpoint} {layer.signal}"] = (layer, zeroed)
        errors: dict[str, list[float]] = {name: [] for name in (UNCHANGED, *wanted)}
        changes: dict[str, list[float]] = {name: [] for name in wanted}
        with ctx.progress.task("splicing", len(jobs), unit="image") as bar:
            for batch, spliced in splice_images(
                ctx.model, jobs, ctx.generation, wanted, steps, ctx.settings.batch_size
            ):
                for name, values in spliced.errors.items():
                    errors[name] += values.tolist()
                if ctx.has_embedder and spliced.pictures[UNCHANGED]:
                    before = ctx.embedder.embed_images(list(spliced.pictures[UNCHANGED]))
                    for name in wanted:
                        after = ctx.embedder.embed_images(list(spliced.pictures[name]))
                        changes[name] += (1 - (before * after).sum(1)).tolist()
                bar.advance(len(batch))
        mean = {name: float(np.mean(values)) for name, values in errors.items()}
        change = {name: float(np.mean(values)) if values else None for name, values in changes.items()}
        for row, layer in members:
            zero = f"zeroed {layer.hookpoint} {layer.signal}"
            lost = mean[zero] - mean[UNCHANGED]
            found[row.id] = {
                "loss_recovered": (mean[zero] - mean[str(row.id)]) / lost if lost > 0 else None,
                "denoising_error": {
                    "unchanged": mean[UNCHANGED],
                    "spliced": mean[str(row.id)],
                    "zeroed": mean[zero],
                },
                "image_change": {"spliced": change[str(row.id)], "zeroed": change[zero]},
            }
    return found


def _rebuild(dictionary: Any) -> Any:
    """A dictionary as what stands in its layer's place."""

    def rebuilt(acts: Any, step: int) -> Any:
        flat = acts.reshape(-1, acts.shape[-1])
        return dictionary.decode(dictionary.encode(flat, step)).reshape(acts.shape)

    return rebuilt
