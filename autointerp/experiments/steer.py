"""`steer`: pictures before and after a feature is made stronger, made weaker, or taken away."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from autointerp.crops.panel import Panel, before_after
from autointerp.db import queries
from autointerp.errors import AutointerpError, UsageError
from autointerp.experiments.regions import EditRegion
from autointerp.progress import note_before_torch
from autointerp.project.targets import find_feature

if TYPE_CHECKING:
    import torch
    from PIL import Image

    from autointerp.db.models import DictionaryRow, Feature
    from autointerp.dictionaries.protocol import Dictionary
    from autointerp.diffusion.edits import Change, ReadFeature
    from autointerp.diffusion.layers import Layer
    from autointerp.project.context import Context

STRENGTH = 4.0
"""The strength where the user gives none: how many mean activations of the feature are added."""


@dataclass(frozen=True)
class SteerRequest:
    """The pictures to generate, and what is done to a feature meanwhile.

    Attributes:
        prompts: A row of pictures each.
        strengths: In units of the feature's mean activation where it fires; a picture each, after the one without any.
        ablate: True adds a picture without the feature.
        region: The steps and cells in which the feature is changed.
        seed: The seed of every picture; None is the workspace's.
    """

    prompts: tuple[str, ...]
    strengths: tuple[float, ...] = ()
    ablate: bool = False
    region: EditRegion = field(default_factory=EditRegion)
    seed: int | None = None


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


def steered(
    ctx: Context, layer: Layer, changes: Sequence[Change | None], request: SteerRequest
) -> Iterator[list[Image.Image]]:
    """Generate the pictures of all prompts under each change; None stands for no change.

    Raises:
        UsageError: The steps or the box of the request do not fit.
    """
    from autointerp.diffusion.edits import Edit
    from autointerp.diffusion.generation import generate
    from autointerp.diffusion.jobs import ImageJob

    region = request.region
    steps = None if region.steps is None else range(*region.steps)
    jobs = [ImageJob(i, prompt, _seed(ctx, request)) for i, prompt in enumerate(request.prompts)]
    for change in changes:
        edits = [] if change is None else [Edit(layer, change, steps, region.box)]
        made = generate(ctx.model, jobs, ctx.generation, batch_size=ctx.settings.batch_size, edits=edits)
        yield [picture for _, pictures in made for picture in pictures]


def steer_feature(ctx: Context, name: str, request: SteerRequest) -> Image.Image:
    """Generate pictures before and after a feature is changed, side by side, a row for each prompt.

    Raises:
        UsageError: The feature does not exist, or the strengths, steps or box of the request are not possible.
        AutointerpError: The feature never fired.
    """
    row, feature = find_feature(ctx, name)
    layer = ctx.layer_of(row)
    note_before_torch(ctx.progress, f"reading {row.name}")
    _check(ctx, layer, request)
    strengths = request.strengths or (() if request.ablate else (STRENGTH,))
    if strengths and not feature.mean_activation > 0:
        raise AutointerpError(
            f"{name} never fired, so there is no unit for its strength", "name a live feature, or harvest more images"
        )
    from autointerp.dictionaries.storage import load_dictionary

    folder = ctx.workspace.dictionary_dir(row.name)
    dictionary = load_dictionary(folder, row.weights_sha256).to(ctx.model.device)
    changes = changes_of(dictionary, feature, strengths, request.ablate)
    columns: list[list[Image.Image]] = []
    count = len(request.prompts)
    with ctx.progress.task(f"steer {name}", count * (1 + len(changes)), unit="image") as bar:
        for pictures in steered(ctx, layer, [None, *(change for _, change in changes)], request):
            columns.append(pictures)
            bar.advance(count)
    captions = ["before", *(caption for caption, _ in changes)]
    rows = [
        (prompt, [Panel(caption, column[i]) for caption, column in zip(captions, columns, strict=True)])
        for i, prompt in enumerate(request.prompts)
    ]
    mask = None
    if request.region.box is not None and layer.stream == "image":
        from autointerp.diffusion.edits import box_mask

        mask = box_mask(request.region.box, layer).numpy()
    return before_after(rows, _heading(ctx, row, feature), _note(ctx, layer, feature, request), mask)


def _seed(ctx: Context, request: SteerRequest) -> int:
    return ctx.settings.seed if request.seed is None else request.seed


def _check(ctx: Context, layer: Layer, request: SteerRequest) -> None:
    """Refuse an impossible request before a model is loaded."""
    if not request.prompts:
        raise UsageError("there is no prompt", "give one with --prompt")
    for strength in request.strengths:
        if not math.isfinite(strength):
            raise UsageError(f"a strength of {strength} cannot be", "give a number, such as 4 or -2")
    request.region.check(layer, ctx.generation.steps)


def _heading(ctx: Context, row: DictionaryRow, feature: Feature) -> str:
    """Return the line above the pictures: the feature's label and name."""
    with ctx.db.session() as session:
        best = queries.labels.best(session, row.id, feature_ids=[feature.id]).get(feature.id)
        label = best.label.name if best is not None else "no label"
    return f"{label}  ({row.name}:{feature.latent_index})"


def _note(ctx: Context, layer: Layer, feature: Feature, request: SteerRequest) -> str:
    """Return the smaller line with all that is needed to make the pictures again."""
    parts = [
        f"{layer.name} of {Path(ctx.description.name).name}",
        request.region.text(ctx.generation.steps),
        f"seed {_seed(ctx, request)}",
    ]
    if feature.mean_activation > 0:
        parts.append(f"strength 1 = its mean activation {feature.mean_activation:.3g}")
    return ", ".join(parts)
