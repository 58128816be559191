"""Splicing: what it does to a running model to have dictionaries rebuild their layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from autointerp.db.models import DictionaryRow
from autointerp.diffusion.layers import Layer
from autointerp.project.context import Context
from autointerp.stages.evaluate.figures import SpliceFigures

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch

    from autointerp.dictionaries.protocol import Dictionary

SPLICED_IMAGES = 32
"""On how many of the held-out images the model runs with a dictionary in a layer's place."""


def measure_splices(ctx: Context, targets: Sequence[tuple[DictionaryRow, Layer]]) -> dict[int, SpliceFigures]:
    """Measure what it does to the model to have dictionaries rebuild their layers, by dictionary id.

    There is no `image_change` where pictures are real, as nothing is generated. Where the kind of scheduler is unknown
    there is no figure at all, and a note says so.
    """
    from autointerp.diffusion.families import NoDenoisingError

    try:
        return _measured(ctx, targets)
    except NoDenoisingError as error:
        ctx.progress.note(f"no loss recovered: {error}")
        return {row.id: SpliceFigures() for row, _ in targets}


def _measured(ctx: Context, targets: Sequence[tuple[DictionaryRow, Layer]]) -> dict[int, SpliceFigures]:
    """Return the figures of `measure_splices`, by dictionary id."""
    from autointerp.dictionaries.storage import load_dictionary
    from autointerp.diffusion.edits import Edit, replace, zeroed
    from autointerp.diffusion.splicing import UNCHANGED, splice_images

    found: dict[int, SpliceFigures] = {}
    jobs = ctx.prompts.held_out(ctx.settings.evaluate_images, ctx.settings.seed, ctx.settings.images)[:SPLICED_IMAGES]
    if ctx.settings.images_dir:
        ctx.progress.note("no change of the image: real pictures are read, not generated")
    groups: dict[tuple[int, ...], list[tuple[DictionaryRow, Layer]]] = {}
    for row, layer in targets:
        groups.setdefault(tuple(row.steps), []).append((row, layer))
    for steps, members in groups.items():
        wanted: dict[str, Edit] = {}
        for row, layer in members:
            folder = ctx.workspace.dictionary_dir(row.name)
            dictionary = load_dictionary(folder, row.weights_sha256).to(ctx.model.device)
            wanted[f"{row.id}"] = Edit(layer, replace(_rebuild(dictionary)))
            wanted[f"zeroed {layer.hookpoint} {layer.signal}"] = Edit(layer, replace(zeroed))
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
            found[row.id] = SpliceFigures(
                loss_recovered=(mean[zero] - mean[str(row.id)]) / lost if lost > 0 else None,
                denoising_error={
                    "unchanged": mean[UNCHANGED],
                    "spliced": mean[str(row.id)],
                    "zeroed": mean[zero],
                },
                image_change={"spliced": change[str(row.id)], "zeroed": change[zero]},
            )
    return found


def _rebuild(dictionary: Dictionary) -> Callable[[torch.Tensor, int], torch.Tensor]:
    """Return a function that rebuilds a layer's activations by a dictionary."""
    from autointerp.dictionaries.rebuilding import rebuilt

    def replaced(acts: torch.Tensor, step: int) -> torch.Tensor:
        flat = acts.reshape(-1, acts.shape[-1])
        return rebuilt(dictionary, flat, dictionary.encode(flat, step)).reshape(*acts.shape[:-1], -1)

    return replaced
