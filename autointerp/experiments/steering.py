"""What `steer` does to features: changes of one or several features, and the edits of each column of pictures."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from autointerp.errors import AutointerpError, UsageError
from autointerp.project.targets import find_feature

if TYPE_CHECKING:
    import torch
    from PIL import Image

    from autointerp.db.models import DictionaryRow, Feature
    from autointerp.dictionaries.protocol import Dictionary
    from autointerp.diffusion.edits import Change, Edit, ReadFeature
    from autointerp.diffusion.layers import Layer
    from autointerp.experiments.regions import EditRegion
    from autointerp.project.context import Context


@dataclass(frozen=True, eq=False)
class SteeredFeature:
    """A stored feature with what it takes to change it.

    Attributes:
        name: `DICTIONARY:INDEX`.
        row: Its dictionary.
        feature: The feature.
        layer: The layer that the dictionary reads.
    """

    name: str
    row: DictionaryRow
    feature: Feature
    layer: Layer

    @property
    def unit(self) -> float:
        """The unit of strength: the feature's mean activation where it fires.

        Raises:
            AutointerpError: It never fired.
        """
        if not self.feature.mean_activation > 0:
            raise AutointerpError(
                f"{self.name} never fired, so there is no unit for its strength",
                "name a live feature, or harvest more images",
            )
        return self.feature.mean_activation


@dataclass(frozen=True)
class SteerColumn:
    """One picture a prompt: what is written below it, and the edits that it is generated with."""

    caption: str
    edits: Sequence[Edit] = ()


def steered_feature(ctx: Context, name: str) -> SteeredFeature:
    """Find a feature and the layer that it is of.

    Raises:
        UsageError: The feature does not exist.
    """
    row, feature = find_feature(ctx, name)
    return SteeredFeature(name, row, feature, ctx.layer_of(row))


def dictionary_of(ctx: Context, one: SteeredFeature) -> Dictionary:
    """Load a feature's dictionary, on the model's device."""
    from autointerp.dictionaries.storage import load_dictionary

    folder = ctx.workspace.dictionary_dir(one.row.name)
    return load_dictionary(folder, one.row.weights_sha256).to(ctx.model.device)


def parse_with(text: str) -> tuple[str, float]:
    """Read a further feature and its strength, written `FEATURE=STRENGTH`.

    Raises:
        UsageError: The text is not written so.
    """
    name, equals, strength = text.rpartition("=")
    try:
        value = float(strength)
    except ValueError:
        value = float("nan")
    if not equals or value != value or value in (float("inf"), float("-inf")):
        raise UsageError(f"{text!r} is no feature with a strength", "write FEATURE=STRENGTH, e.g. NAME:17=4")
    return name, value


def read_latent(dictionary: Dictionary, latent: int) -> ReadFeature:
    """Return a function that reads a latent's activation: activations [n, d_in] and a step to float32 [n]."""

    def read(acts: torch.Tensor, step: int) -> torch.Tensor:
        code = dictionary.encode(acts, step)
        # Unused slots have index 0, which does no harm because their act is 0.
        return (code.latent_acts * (code.latent_indices == latent)).sum(1)

    return read


def changes_of(
    dictionary: Dictionary, feature: Feature, strengths: Sequence[float], ablate: bool
) -> list[tuple[str, Change]]:
    """Return what is done to a feature that fires: a caption and a change for each strength and for the ablation.

    A strength adds that many mean activations of the feature to every cell, also to cells where it does not fire. If
    the feature were suppressed only where it fires, the features beside it would bring the concept back.
    """
    from autointerp.diffusion.edits import add_vector, scale_feature

    latent, unit = feature.latent_index, feature.mean_activation
    direction = dictionary.directions[latent]
    changes = [(f"strength {s:+g}", add_vector(s * unit * direction)) for s in strengths]
    ablated = scale_feature(read_latent(dictionary, latent), direction, 0.0)
    return changes + ([("without the feature", ablated)] if ablate else [])


def edit_of(layer: Layer, change: Change, region: EditRegion) -> Edit:
    """Return a change of a layer in a region."""
    from autointerp.diffusion.edits import Edit

    return Edit(layer, change, None if region.steps is None else range(*region.steps), region.cells(layer))


def like_cells(ctx: Context, layer: Layer, region: EditRegion, prompt: str, seed: int) -> Edit:
    """Return the edit that puts the activations of another prompt's picture into the cells of a region.

    The residual stream after the layer is replaced, whatever signal the layer has.
    """
    from autointerp.diffusion.edits import put_cells
    from autointerp.diffusion.jobs import ImageJob
    from autointerp.diffusion.recording import record

    whole = dataclasses.replace(layer, signal="output")
    (recorded,) = record(ctx.model, [ImageJob(0, prompt, seed)], ctx.generation, [whole])
    edit = edit_of(whole, put_cells({}), region)
    tokens = edit.tokens()
    values: Mapping[int, torch.Tensor] = {
        step: acts if tokens is None else acts[tokens.to(acts.device)] for (_, step), acts in recorded.acts.items()
    }
    return dataclasses.replace(edit, change=put_cells(values))


def steered(
    ctx: Context, columns: Sequence[SteerColumn], prompts: Sequence[str], seed: int
) -> Iterator[list[Image.Image]]:
    """Generate the pictures of all prompts under each column's edits, many in a batch; yield them column by column.

    Raises:
        UsageError: The steps or the cells of an edit do not fit.
    """
    from autointerp.diffusion.generation import generate
    from autointerp.diffusion.jobs import ImageJob

    count = len(prompts)
    jobs = [ImageJob(c * count + i, text, seed) for c in range(len(columns)) for i, text in enumerate(prompts)]
    edits = [
        dataclasses.replace(edit, images=range(c * count, (c + 1) * count))
        for c, column in enumerate(columns)
        for edit in column.edits
    ]
    waiting: list[Image.Image] = []
    for _, pictures in generate(ctx.model, jobs, ctx.generation, batch_size=ctx.settings.batch_size, edits=edits):
        waiting += pictures
        while len(waiting) >= count:
            yield waiting[:count]
            waiting = waiting[count:]
