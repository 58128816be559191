"""`steer`: pictures before and after features are made stronger, made weaker, or taken away, or cells are replaced."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from autointerp.crops.panel import Panel, before_after
from autointerp.db import queries
from autointerp.errors import UsageError
from autointerp.experiments.regions import EditRegion
from autointerp.experiments.steering import (
    SteerColumn,
    SteeredFeature,
    changes_of,
    dictionary_of,
    edit_of,
    like_cells,
    steered,
    steered_feature,
)
from autointerp.experiments.strengths import choose_strength
from autointerp.progress import note_before_torch

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

    from autointerp.diffusion.layers import Layer
    from autointerp.project.context import Context

STRENGTH = 4.0
"""The strength where the user gives none: how many mean activations of the feature are added."""


@dataclass(frozen=True)
class SteerRequest:
    """The pictures to generate, and what is done to a feature meanwhile.

    Attributes:
        prompts: A row of pictures each.
            An empty prompt shows the feature alone.
        strengths: In units of the feature's mean activation where it fires; a picture each, after the one without any.
        ablate: True adds a picture without the feature.
        region: The steps and cells in which the features are changed.
        seed: The seed of every picture; None is the workspace's.
        auto: True adds a picture of the smallest strength that brings the feature into every picture.
        others: Further features with their strengths, changed in every picture but the first.
        like: Prompts whose pictures' cells take the place of the cells; a picture each.
    """

    prompts: tuple[str, ...]
    strengths: tuple[float, ...] = ()
    ablate: bool = False
    region: EditRegion = field(default_factory=EditRegion)
    seed: int | None = None
    auto: bool = False
    others: tuple[tuple[str, float], ...] = ()
    like: tuple[str, ...] = ()


def steer_feature(ctx: Context, name: str, request: SteerRequest) -> Image.Image:
    """Generate pictures before and after a feature is changed, side by side, a row for each prompt.

    Raises:
        UsageError: The feature does not exist, or the strengths, steps, cells or prompts of the request are not
            possible.
        AutointerpError: A feature never fired, or no strength brings it into the pictures.
    """
    if not request.prompts:
        raise UsageError("there is no prompt", "give one with --prompt, or --icon for the feature alone")
    one = steered_feature(ctx, name)
    others = [(steered_feature(ctx, other), strength) for other, strength in request.others]
    note_before_torch(ctx.progress, f"reading {one.row.name}")
    for layer in (one.layer, *(other.layer for other, _ in others)):
        _check(ctx, layer, request)
    strengths = request.strengths or (() if request.ablate or request.auto or request.like else (STRENGTH,))
    if strengths or request.auto:
        _ = one.unit
    for other, _ in others:
        _ = other.unit
    dictionary, region, seed = dictionary_of(ctx, one), request.region, _seed(ctx, request)
    if request.auto:
        chosen = choose_strength(ctx, one, dictionary, region, request.prompts, seed)
        ctx.progress.note(f"strength {chosen.strength:g} is the smallest that brings {name} into every picture")
        strengths = (*strengths, chosen.strength)
    beside = [
        edit_of(other.layer, change, region)
        for other, strength in others
        for _, change in changes_of(dictionary_of(ctx, other), other.feature, (strength,), ablate=False)
    ]
    columns = [SteerColumn("before")]
    for caption, change in changes_of(dictionary, one.feature, strengths, request.ablate):
        columns.append(SteerColumn(caption, [edit_of(one.layer, change, region), *beside]))
    columns += [
        SteerColumn(f"cells of: {prompt}", [like_cells(ctx, one.layer, region, prompt, seed), *beside])
        for prompt in request.like
    ]
    made: list[list[Image.Image]] = []
    count = len(request.prompts)
    with ctx.progress.task(f"steer {name}", count * len(columns), unit="image") as bar:
        for pictures in steered(ctx, columns, request.prompts, seed):
            made.append(pictures)
            bar.advance(count)
    rows = [
        (prompt or "(no prompt)", [Panel(x.caption, pictures[i]) for x, pictures in zip(columns, made, strict=True)])
        for i, prompt in enumerate(request.prompts)
    ]
    return before_after(rows, _heading(ctx, one, others), _note(ctx, one, request), _marked(one.layer, region))


def _marked(layer: Layer, region: EditRegion) -> np.ndarray | None:
    """Return the cells to outline; None where all are changed, or where the cells are those of a text."""
    from autointerp.diffusion.edits import box_mask

    if layer.stream != "image":
        return None
    if region.box is not None:
        return box_mask(region.box, layer).numpy()
    cells = region.cells(layer)
    return None if cells is None or isinstance(cells, tuple) else cells.numpy()


def _seed(ctx: Context, request: SteerRequest) -> int:
    return ctx.settings.seed if request.seed is None else request.seed


def _check(ctx: Context, layer: Layer, request: SteerRequest) -> None:
    """Refuse an impossible request before a model is loaded."""
    for strength in request.strengths:
        if not math.isfinite(strength):
            raise UsageError(f"a strength of {strength} cannot be", "give a number, such as 4 or -2")
    request.region.check(layer, ctx.generation.steps)


def _heading(ctx: Context, one: SteeredFeature, others: Sequence[tuple[SteeredFeature, float]]) -> str:
    """Return the line above the pictures: each feature's label and name."""

    def said(feature: SteeredFeature) -> str:
        with ctx.db.session() as session:
            labels = queries.labels.best(session, feature.row.id, feature_ids=[feature.feature.id])
            best = labels.get(feature.feature.id)
            label = best.label.name if best is not None else "no label"
        return f"{label}  ({feature.row.name}:{feature.feature.latent_index})"

    return "  with  ".join([said(one), *(f"{said(other)} {strength:+g}" for other, strength in others)])


def _note(ctx: Context, one: SteeredFeature, request: SteerRequest) -> str:
    """Return the smaller line with all that is needed to make the pictures again."""
    parts = [
        f"{one.layer.name} of {Path(ctx.description.name).name}",
        request.region.text(ctx.generation.steps),
        f"seed {_seed(ctx, request)}",
    ]
    if one.feature.mean_activation > 0:
        parts.append(f"strength 1 = its mean activation {one.feature.mean_activation:.3g}")
    return ", ".join(parts)
