"""Pictures without a concept: what marks each concept is measured once, then suppressed way by way."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from autointerp.errors import AutointerpError
from autointerp.experiments.erasers import (
    MEANS,
    NEURONS,
    RANDOM,
    SEARCH,
    MarkSums,
    moved_to_others,
    silenced,
    silenced_at_random,
    telling,
    units_moved,
)
from autointerp.experiments.subjects import pictures_of

if TYPE_CHECKING:
    import numpy as np
    import torch
    from PIL import Image

    from autointerp.dictionaries.protocol import Dictionary
    from autointerp.diffusion.edits import Change
    from autointerp.diffusion.jobs import ImageJob
    from autointerp.diffusion.layers import Layer
    from autointerp.experiments.concepts import ErasableConcepts
    from autointerp.project.context import Context

REFERENCE = 200
"""Pictures on which features are chosen and means are measured."""
NONE, PROMPT, NEGATIVE = "none", "prompt", "negative prompt"
"""What needs no edit: nothing; the prompt without the concept; guidance away from the concept."""


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
        units: Its hidden units; None where it has none.
        features: How many features or units are suppressed.
        named: Word -> the features that `search` may choose for it.
    """

    dictionary: Dictionary
    layer: Layer
    plain: Layer
    units: Layer | None
    features: int
    named: Mapping[str, Sequence[int]]

    @property
    def layers(self) -> dict[Layer, None]:
        """All layers that are read."""
        return dict.fromkeys(layer for layer in (self.layer, self.plain, self.units) if layer is not None)


class EraseBench:
    """What generates pictures without a concept: marks of all concepts are measured when it is made.

    Args:
        ctx: The command's view of the workspace.
        erasing: What is suppressed, and where.
        concepts: What pictures show.
        progress: Called after each batch of reference pictures.
    """

    def __init__(
        self, ctx: Context, erasing: Erasing, concepts: ErasableConcepts, progress: Callable[[], None] = lambda: None
    ) -> None:
        from autointerp.diffusion.recording import record

        self.ctx, self.of, self.concepts = ctx, erasing, concepts
        steps, size = ctx.generation.steps, ctx.settings.batch_size
        self.latents = MarkSums(concepts.values, steps, erasing.dictionary.num_latents)
        self.sums = {layer: MarkSums(concepts.values, steps, layer.d_in) for layer in erasing.layers}
        jobs = pictures_of(ctx, REFERENCE)
        for start in range(0, len(jobs), size):
            recorded = record(ctx.model, jobs[start : start + size], ctx.generation, list(erasing.layers), size)
            for one, read in zip(recorded, concepts.read([r.picture for r in recorded]), strict=True):
                cells = {layer: concepts.cells(read, layer.grid) for layer in erasing.layers}
                for step in range(steps):
                    self._take(step, {layer: one.acts[layer, step] for layer in erasing.layers}, cells)
            progress()

    def _take(
        self, step: int, acts: Mapping[Layer, torch.Tensor], cells: Mapping[Layer, Mapping[str, np.ndarray]]
    ) -> None:
        """Sum up what a picture has at a step: features, the layer, and hidden units."""
        import torch

        code = self.of.dictionary.encode(acts[self.of.layer], step)
        dense = torch.zeros(len(code.latent_acts), self.of.dictionary.num_latents, device=code.latent_acts.device)
        dense.scatter_add_(1, code.latent_indices, code.latent_acts.float())
        self.latents.add(step, dense, cells[self.of.layer])
        for layer, sums in self.sums.items():
            sums.add(step, acts[layer], cells[layer])

    def pictures(
        self, word: str, jobs: Sequence[ImageJob], arms: Sequence[tuple[str, float]], prompts: Sequence[str] = (PROMPT,)
    ) -> dict[str, list[Image.Image]]:
        """Generate pictures without an edit, under each arm, and by other prompts; many in a batch.

        Args:
            word: The concept.
            jobs: The pictures.
            arms: Ways and their strengths.
            prompts: `PROMPT`, `NEGATIVE` or both.

        Raises:
            AutointerpError: No reference picture showed the word.
        """
        from autointerp.diffusion.edits import Edit
        from autointerp.diffusion.generation import generate

        ctx, count = self.ctx, len(jobs)
        keys = [NONE, *map(arm_key, arms), *prompts]
        rows, edits = [], []
        for n, key in enumerate(keys):
            numbers = range(n * count, (n + 1) * count)
            for job, number in zip(jobs, numbers, strict=True):
                text = self.concepts.without(job.prompt, word) if key == PROMPT else job.prompt
                rows.append(replace(job, index=number, prompt=text, negative=word if key == NEGATIVE else ""))
            if 0 < n <= len(arms):
                layer, change = self._change(word, *arms[n - 1])
                edits.append(Edit(layer, change, images=numbers))
        made = generate(ctx.model, rows, ctx.generation, None, ctx.settings.batch_size, edits=edits)
        pictures = [picture for _, some in made for picture in some]
        return {key: pictures[n * count : (n + 1) * count] for n, key in enumerate(keys)}

    def _change(self, word: str, way: str, strength: float) -> tuple[Layer, Change]:
        """Return what a way does to a word, and at which layer."""
        place = self.concepts.place(word)
        marks = self.latents.marks(*place)
        if not all(marks.cells):
            raise AutointerpError(f"no picture of {REFERENCE} showed {word}", "use a workspace with more steps")
        if way == MEANS:
            return self.of.plain, moved_to_others(self.sums[self.of.plain].marks(*place), strength)
        if way == NEURONS:
            assert self.of.units is not None
            return self.of.units, units_moved(self.sums[self.of.units].marks(*place), self.of.features, strength)
        chosen = telling(marks, self.of.dictionary.directions, self.of.dictionary.num_latents)
        if way == SEARCH:
            named = set(self.of.named[word])
            chosen = chosen[[i for i, latent in enumerate(chosen.tolist()) if latent in named]]
        chosen = chosen[: self.of.features]
        if way == RANDOM:
            return self.of.layer, silenced_at_random(self.of.dictionary, chosen, strength, word)
        return self.of.layer, silenced(self.of.dictionary, chosen, strength)
