"""Pictures without a concept: what marks each value of an attribute is measured once, then suppressed way by way."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from autointerp.errors import AutointerpError
from autointerp.experiments.erasers import (
    MEANS,
    NEURONS,
    RANDOM,
    MarkSums,
    moved_to_others,
    silenced,
    silenced_at_random,
    telling,
    units_moved,
    words_without,
)
from autointerp.experiments.subjects import pictures_of, resized
from autointerp.shapes.scenes import ATTRIBUTES

if TYPE_CHECKING:
    import torch
    from PIL import Image

    from autointerp.dictionaries.protocol import Dictionary
    from autointerp.diffusion.edits import Change
    from autointerp.diffusion.jobs import ImageJob
    from autointerp.diffusion.layers import Layer
    from autointerp.project.context import Context
    from autointerp.worlds import SceneReader

ERASABLE = ("color", "shape", "texture", "background")
"""Attributes whose values are erased."""
REFERENCE = 200
"""Pictures on which features are chosen and means are measured."""
NONE, PROMPT = "none", "prompt"


def erasable() -> dict[str, tuple[str, int]]:
    """Return each word that can be erased, with its attribute and its number there."""
    return {word: (name, i) for name in ERASABLE for i, word in enumerate(ATTRIBUTES[name])}


def arm_key(arm: tuple[str, float]) -> str:
    """Return the name of a way with a strength in results."""
    return f"{arm[0]} x{arm[1]:g}"


@dataclass(frozen=True, eq=False)
class Erasing:
    """What is suppressed, and where.

    Attributes:
        dictionary: The SAE.
        layer: The layer that it reads.
        plain: The layer of the same name as people name it, for the difference of means.
        features: How many features or units are suppressed.
        allowed: Word -> the features that may be chosen for it; all where there is no entry.
    """

    dictionary: Dictionary
    layer: Layer
    plain: Layer
    features: int
    allowed: Mapping[str, Sequence[int]]


class EraseBench:
    """What generates pictures without a concept: marks of all values are measured when it is made.

    Args:
        ctx: The command's view of the workspace.
        erasing: What is suppressed, and where.
        reader: What reads scenes.
        progress: Called after each batch of reference pictures.
    """

    def __init__(
        self, ctx: Context, erasing: Erasing, reader: SceneReader, progress: Callable[[], None] = lambda: None
    ) -> None:
        from autointerp.diffusion.layers import neurons_of
        from autointerp.diffusion.recording import record

        self.ctx, self.of = ctx, erasing
        self.units = neurons_of(ctx.description, erasing.plain)
        values = {name: len(ATTRIBUTES[name]) for name in ERASABLE}
        steps = ctx.generation.steps
        widths = (erasing.dictionary.num_latents, erasing.plain.d_in, self.units.d_in)
        self.sums = [MarkSums(values, steps, width) for width in widths]
        layers = list(dict.fromkeys((erasing.layer, erasing.plain, self.units)))
        jobs = pictures_of(ctx, REFERENCE)
        for start in range(0, len(jobs), ctx.settings.batch_size):
            recorded = record(
                ctx.model,
                jobs[start : start + ctx.settings.batch_size],
                ctx.generation,
                layers,
                ctx.settings.batch_size,
            )
            for one, facts in zip(recorded, reader.read([r.picture for r in recorded]), strict=True):
                cells = {name: resized(facts.cells[name], erasing.layer.grid).reshape(-1) for name in ERASABLE}
                for step in range(steps):
                    self._take(step, {layer: one.acts[layer, step] for layer in layers}, cells)
            progress()

    def _take(self, step: int, acts: Mapping[Layer, torch.Tensor], cells: Mapping[str, np.ndarray]) -> None:
        """Sum up what a picture has at a step: features, the layer, and hidden units."""
        import torch

        code = self.of.dictionary.encode(acts[self.of.layer], step)
        dense = torch.zeros(len(code.latent_acts), self.of.dictionary.num_latents, device=code.latent_acts.device)
        dense.scatter_add_(1, code.latent_indices, code.latent_acts.float())
        for sums, values in zip(self.sums, (dense, acts[self.of.plain], acts[self.units]), strict=True):
            sums.add(step, values, cells)

    def pictures(
        self, word: str, jobs: Sequence[ImageJob], arms: Sequence[tuple[str, float]]
    ) -> dict[str, list[Image.Image]]:
        """Generate pictures without an edit, under each arm, and of prompts without the word; many in a batch."""
        from autointerp.diffusion.edits import Edit
        from autointerp.diffusion.generation import generate

        ctx, count = self.ctx, len(jobs)
        clause = "background" if word in ATTRIBUTES["background"] else ""
        keys = [NONE, *map(arm_key, arms), PROMPT]
        rows, edits = [], []
        for n, key in enumerate(keys):
            numbers = range(n * count, (n + 1) * count)
            texts = [words_without(job.prompt, word, clause) if key == PROMPT else job.prompt for job in jobs]
            rows += [replace(job, index=i, prompt=text) for job, i, text in zip(jobs, numbers, texts, strict=True)]
            if key not in (NONE, PROMPT):
                layer, change = self._change(word, *arms[n - 1])
                edits.append(Edit(layer, change, images=numbers))
        made = generate(ctx.model, rows, ctx.generation, None, ctx.settings.batch_size, edits=edits)
        pictures = [picture for _, some in made for picture in some]
        return {key: pictures[n * count : (n + 1) * count] for n, key in enumerate(keys)}

    def _change(self, word: str, way: str, strength: float) -> tuple[Layer, Change]:
        """Return what a way does to a word, and at which layer.

        Raises:
            AutointerpError: No reference picture showed the word.
        """
        latents, layer, units = (sums.marks(*erasable()[word]) for sums in self.sums)
        if not all(latents.cells):
            raise AutointerpError(f"no picture of {REFERENCE} showed {word}", "use a workspace with more steps")
        if way == MEANS:
            return self.of.plain, moved_to_others(layer, strength)
        if way == NEURONS:
            return self.units, units_moved(units, self.of.features, strength)
        chosen = telling(latents, self.of.dictionary.directions, self.of.dictionary.num_latents)
        if word in self.of.allowed:
            named = set(self.of.allowed[word])
            chosen = chosen[[i for i, latent in enumerate(chosen.tolist()) if latent in named]]
        chosen = chosen[: self.of.features]
        if way == RANDOM:
            return self.of.layer, silenced_at_random(self.of.dictionary, chosen, strength, word)
        return self.of.layer, silenced(self.of.dictionary, chosen, strength)
