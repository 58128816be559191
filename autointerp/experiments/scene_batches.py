"""Pictures with what is true of them, and the activations from which they came.

What is true is read off the finished picture. So a batch's activations are held until then: of every layer and step
that is asked for, for a few pictures at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from autointerp.errors import UsageError
from autointerp.experiments.subjects import resized
from autointerp.labeling.segments.scenes import GroundedSceneReader
from autointerp.project.segmenters import grounded_segments
from autointerp.stages.evaluate.planning import has_truth

if TYPE_CHECKING:
    import torch
    from PIL import Image

    from autointerp.diffusion.capture import LayerActivations
    from autointerp.diffusion.jobs import ImageJob
    from autointerp.diffusion.layers import Layer
    from autointerp.diffusion.word_maps import WordMaps
    from autointerp.diffusion.words import WordReader
    from autointerp.project.context import Context
    from autointerp.worlds import SceneFacts, SceneReader

HELD = 8
"""Pictures whose activations are held at a time, at most."""
INPUT = "input"
"""The denoiser's own input, which is read as if it were a layer."""
OBJECT = "object"
"""The attribute that says whether a cell is an object's."""


@dataclass(frozen=True)
class SceneBatch:
    """Some pictures.

    Attributes:
        jobs: What they were generated from.
        pictures: The pictures.
        facts: What is true of each.
        acts: Activations float32 [pictures, cells, width], by the layer and step.
        inputs: The denoiser's input under each cell, float32 [pictures, cells, channels], by step; empty unless it was
            asked for.
        words: The word maps of each picture by the layer and step, of what attended to the text in the step up to the
            layer; empty unless they were asked for, and without layers before which nothing attends to the text.
    """

    jobs: Sequence[ImageJob]
    pictures: Sequence[Image.Image]
    facts: Sequence[SceneFacts]
    acts: Mapping[tuple[Layer, int], torch.Tensor]
    inputs: Mapping[int, torch.Tensor]
    words: Mapping[tuple[Layer, int], Sequence[WordMaps]] = field(default_factory=dict)


def scene_reader(ctx: Context, layers: Sequence[Layer], phrases: Sequence[str] = ()) -> SceneReader:
    """Return what reads pictures of this model as scenes; a detector and a segmenter are loaded when they first read.

    Args:
        ctx: The context of the model.
        layers: The layers whose cells are read.
        phrases: What is looked for where the model's world is not known.

    Raises:
        UsageError: Nothing reads them, or not in the cells of these layers; or phrases are given where what reads them
            takes none.
    """
    if ctx.world.scenes is None and phrases:
        grid = max((layer.grid for layer in layers), key=lambda grid: grid[0] * grid[1])
        return GroundedSceneReader(grounded_segments(ctx), phrases, grid)
    refuse_phrases(ctx, phrases)
    known = ctx.world.truth is None or all(has_truth(ctx, layer) for layer in layers)
    if ctx.world.scenes is None or not known:
        raise UsageError(
            f"what is true of pictures of {ctx.settings.model} is not known",
            "use a shapes model, in its own size and on image tokens"
            if ctx.world.scenes is not None
            else "name what is to be looked for, e.g. --phrase cat --phrase sky",
        )
    return ctx.world.scenes.load()()


def refuse_phrases(ctx: Context, phrases: Sequence[str]) -> None:
    """Refuse phrases where the model's world is known, since nothing would look for them.

    Raises:
        UsageError: There are phrases, and what is in pictures of this model is read without any.
    """
    if phrases and ctx.world.scenes is not None:
        raise UsageError(
            f"what is in pictures of {ctx.settings.model} is known, so no phrase is looked for", "leave out --phrase"
        )


def scene_batches(
    ctx: Context,
    reader: SceneReader,
    jobs: Sequence[ImageJob],
    layers: Sequence[Layer],
    steps: Sequence[int],
    with_input: bool = False,
    words: WordReader | None = None,
) -> Iterator[SceneBatch]:
    """Generate pictures, and yield them a few at a time with their activations and what is true of them.

    Args:
        ctx: The context of the model.
        reader: What reads pictures as scenes.
        jobs: The pictures.
        layers: The layers that are read.
        steps: The steps at which each is read.
        with_input: Whether the denoiser's input is read too, in the cells of the first layer.
        words: What finds the words of prompts, where word maps are read too.
    """
    from contextlib import ExitStack

    import torch

    from autointerp.diffusion.capture import Capture
    from autointerp.diffusion.generation import generate
    from autointerp.diffusion.shadow import LatestCall, noting_calls
    from autointerp.diffusion.word_maps import WordRequest

    acts: dict[tuple[Layer, int], torch.Tensor] = {}
    inputs: dict[int, torch.Tensor] = {}
    attended: dict[tuple[Layer, int], Sequence[WordMaps]] = {}

    def hold_words(layer: Layer, step: int, maps: Sequence[WordMaps]) -> None:
        attended[layer, step] = maps

    asked = None if words is None else WordRequest(words, lambda _job, _maps: None, steps, layers, hold_words)
    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode())
        call: LatestCall | None = stack.enter_context(noting_calls(ctx.model)) if with_input else None

        def hold(read: LayerActivations) -> None:
            acts[read.layer, read.step] = read.acts.clone()
            if call is not None and read.layer == layers[0]:
                inputs[read.step] = call.raw(len(read.jobs), read.grid).clone()

        capture = Capture(layers, steps, hold, asked)
        small = min(HELD, ctx.settings.batch_size)
        for made, pictures in generate(ctx.model, jobs, ctx.generation, capture, small):
            yield SceneBatch(made, pictures, reader.read(pictures), dict(acts), dict(inputs), dict(attended))
            for held in (acts, inputs, attended):
                held.clear()


def truth_of(reader: SceneReader, facts: Sequence[SceneFacts], grid: tuple[int, int]) -> dict[str, np.ndarray]:
    """Return the value of each attribute in each cell, with `object` for whether there is one.

    Args:
        reader: What read the scenes.
        facts: The scenes.
        grid: The grid to return.

    Returns:
        By attribute, int64 [pictures, cells]; -1 where a cell has none.
    """
    found = {OBJECT: np.stack([_covered(fact) for fact in facts]).astype(np.int64) - 1}
    found |= {name: np.stack([fact.cells[name] for fact in facts]) for name in reader.attributes}
    return {name: resized(values, grid).reshape(len(facts), -1) for name, values in found.items()}


def attributes_of(reader: SceneReader) -> dict[str, tuple[str, ...]]:
    """Return the values of each attribute that `truth_of` gives."""
    return {OBJECT: (OBJECT,), **reader.attributes}


def _covered(fact: SceneFacts) -> np.ndarray:
    """Return the cells of all objects, bool [rows, cols]."""
    here = np.zeros(next(iter(fact.cells.values())).shape, bool)
    for one in fact.objects:
        here |= one.mask
    return here
