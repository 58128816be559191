"""`explain`: which labeled features are active in one picture, how strongly, and where."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from autointerp.crops.geometry import Box, cell_box
from autointerp.crops.panel import Panel, before_after
from autointerp.crops.render import MARKED, render_crop, render_glow
from autointerp.db import queries
from autointerp.db.models import Dictionary
from autointerp.errors import AutointerpError, UsageError
from autointerp.stages.context import Context
from autointerp.stages.read import Shown, find_dictionary, shown_features

if TYPE_CHECKING:
    from PIL import Image

    from autointerp.dictionaries.protocol import Dictionary as AnyDictionary
    from autointerp.diffusion.capture import Captured
    from autointerp.diffusion.generation import ImageJob
    from autointerp.diffusion.layers import Layer

_COLUMNS = 4
_SIDE = 320


@dataclass(frozen=True)
class ExplainRequest:
    """What is explained, and by which features.

    `source` is a prompt or the path of a picture. `targets` are (layer, dictionary or None); none is every labeled
    dictionary of image tokens. `unnamed` features count too if it is set. `seed` is that of the noise; None is the
    workspace's. `invert` finds the noise that leads to a picture, see the setting.
    """

    source: str
    targets: Sequence[tuple[str, str | None]] = ()
    count: int = 10
    unnamed: bool = False
    seed: int | None = None
    invert: bool = False
    labelers: Collection[int] | None = None


@dataclass(frozen=True)
class Active:
    """A feature that is active in a picture.

    `activation` is its maximum over cells and steps, `strength` that as a share of the largest ever harvested (None
    where nothing was). `cells` is the share of cells where it is active at that step; `box` is around those of at least
    half the maximum, in pixels. `activation_map`: float32 [rows, cols].
    """

    feature: str
    layer: str
    name: str
    explanation: str
    score: float | None
    activation: float
    strength: float | None
    cells: float
    cell: tuple[int, int]
    step: int
    box: Box
    activation_map: np.ndarray

    @property
    def where(self) -> str:
        """In which ninth of the picture its maximum is, in words."""
        names = (("top", "middle", "bottom"), ("left", "center", "right"))
        row, col = (
            words[min(3 * at // size, 2)]
            for words, at, size in zip(names, self.cell, self.activation_map.shape, strict=True)
        )
        return f"{row} {col}"

    def as_dict(self) -> dict[str, Any]:
        """The stable keys of `explain --json`."""
        keys = ("feature", "layer", "name", "explanation", "score", "activation", "strength", "cells", "step")
        return {**{key: getattr(self, key) for key in keys}, "cell": list(self.cell), "box": list(self.box)}


@dataclass(frozen=True)
class Explained:
    """A picture with the features that are active in it, the strongest first."""

    source: str
    kind: Literal["prompt", "picture"]
    seed: int
    picture: Image.Image
    features: tuple[Active, ...]

    def as_dict(self) -> dict[str, Any]:
        """The stable keys of `explain --json`."""
        about = {"source": self.source, "kind": self.kind, "seed": self.seed, "size": list(self.picture.size)}
        return {**about, "features": [one.as_dict() for one in self.features]}

    def overlay(self) -> Image.Image:
        """The picture, and beside it the same under the activation map of each feature."""
        side = max(_SIDE, *self.picture.size)
        whole = (0, 0, *self.picture.size)
        panels = [Panel(f"the {self.kind}, seed {self.seed}", render_crop(self.picture, whole, mark=False, side=side))]
        for one in self.features:
            strength = "" if one.strength is None else f"  {one.strength:.0%}"
            heat = render_glow(self.picture, one.activation_map, side)
            panels.append(Panel(f"{one.name or one.feature}{strength}", heat))
        rows = [(self.source if not i else "", panels[i : i + _COLUMNS]) for i in range(0, len(panels), _COLUMNS)]
        layers = ", ".join(dict.fromkeys(one.layer for one in self.features))
        note = f"Features of {layers}, with their activation as a share of the largest that was harvested."
        return before_after(rows, "What is active", note if self.features else "No labeled feature is active.")


def explain(ctx: Context, request: ExplainRequest) -> Explained:
    """Generate the prompt's picture, or read a real one, and find what is active in it.

    Raises:
        UsageError: There is no such picture, layer or dictionary, or the prompt is empty.
        AutointerpError: Nothing is labeled, the picture cannot be read, or nothing of it is left at the steps that a
            dictionary reads.
    """
    from autointerp.diffusion.generation import generate

    job = _job(ctx, request)
    readers = [_Reader(ctx, row, shown, job) for row, shown in _labeled(ctx, request)]
    if not readers:
        raise AutointerpError("no dictionary of image tokens is labeled here", "run `autointerp label --layer mid`")

    def consume(captured: Captured) -> None:
        for reader in readers:
            reader.consume(captured)

    ((_, (picture,)),) = generate(
        ctx.model,
        [job],
        ctx.generation,
        layers=list(dict.fromkeys(reader.layer for reader in readers)),
        capture_steps={step for reader in readers for step in reader.steps},
        consumer=consume,
    )
    found = [one for reader in readers for one in reader.active(picture.size, request)]
    kind: Literal["prompt", "picture"] = "prompt" if job.picture is None else "picture"
    ordered = sorted(found, key=_worth)[: request.count]
    return Explained(request.source, kind, job.seed, picture, tuple(ordered))


def _worth(one: Active) -> tuple[float, float, str]:
    return (-(one.strength or 0.0), -one.activation, one.feature)


def _job(ctx: Context, request: ExplainRequest) -> ImageJob:
    """The one image that is looked at."""
    from autointerp.diffusion.generation import ImageJob
    from autointerp.diffusion.pictures import SUFFIXES, open_picture, picture_job
    from autointerp.diffusion.prompts import check_prompt

    seed = ctx.settings.seed if request.seed is None else request.seed
    path = Path(request.source).expanduser()
    if len(request.source) < 4096 and path.is_file():
        keep = (ctx.generation.size, ctx.description.coarsest_cell) if ctx.settings.keep_aspect else None
        try:
            open_picture(path.read_bytes())
        except (OSError, ValueError, SyntaxError) as error:
            reason = getattr(error, "strerror", None) or "it is no picture that can be read"
            raise AutointerpError(f"cannot read {request.source}: {reason}", "name the file of a picture") from None
        return picture_job(path, seed, keep, request.invert or ctx.settings.invert)
    if len(request.source) < 4096 and "/" in request.source and path.is_dir():
        raise UsageError(f"{request.source} is a folder", "name the file of a picture, or say what to generate")
    if path.suffix.lower() in SUFFIXES:
        raise UsageError(f"there is no picture {request.source}", "check the path; a prompt has no file's ending")
    if not request.source.strip():
        raise UsageError("the prompt is empty", "say what to generate, or name a picture")
    check_prompt(request.source, "the prompt")
    return ImageJob(0, request.source, seed)


def _labeled(ctx: Context, request: ExplainRequest) -> list[tuple[Dictionary, list[Shown]]]:
    """The dictionaries that are asked, each with its features that may be named."""
    with ctx.db.session() as session:
        if request.targets:
            rows = [find_dictionary(ctx, *target) for target in request.targets]
        else:
            rows = [row for row in queries.all_dictionaries(session) if row.stream == "image"]
        found = []
        for row in rows:
            if row.stream != "image":
                raise UsageError(f"{row.name} reads text tokens, which have no place in a picture", "name another one")
            features = shown_features(session, row, labelers=request.labelers)
            shown = [one for one in features if request.unnamed or one.row.status == "ok"]
            if shown:
                found.append((row, shown))
        session.expunge_all()
    return found


class _Reader:
    """One dictionary that reads the picture at its own layer and steps."""

    def __init__(self, ctx: Context, row: Dictionary, shown: list[Shown], job: ImageJob) -> None:
        from autointerp.dictionaries.storage import load_dictionary

        self.row, self.shown = row, shown
        self.layer: Layer = ctx.layer_of(row)
        self.steps = _steps(ctx, row, job)
        self.dictionary: AnyDictionary = load_dictionary(ctx.workspace.dictionary_dir(row.name)).to(ctx.model.device)
        self.grid = self.layer.grid
        self.codes: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        """Step -> activations and indices of latents, both [cells, k]."""

    def consume(self, captured: Captured) -> None:
        if captured.layer != self.layer or captured.step not in self.steps:
            return
        code = self.dictionary.encode(captured.acts.reshape(-1, self.layer.d_in), captured.step)
        self.grid = captured.grid
        self.codes[captured.step] = (code.latent_acts.float().cpu().numpy(), code.latent_indices.cpu().numpy())

    def active(self, size: tuple[int, int], request: ExplainRequest) -> list[Active]:
        """The features that fire anywhere, the strongest `count` of them."""
        peaks = np.zeros((len(self.codes), self.row.num_latents), np.float32)
        for place, (acts, indices) in enumerate(self.codes.values()):
            np.maximum.at(peaks[place], indices.ravel(), acts.ravel())
        most, steps = peaks.max(0), list(self.codes)
        firing = [one for one in self.shown if most[one.feature.latent_index] > 0]

        def strength(one: Shown) -> float | None:
            largest = one.feature.max_activation
            return float(most[one.feature.latent_index]) / largest if largest > 0 else None

        firing.sort(key=lambda one: (-(strength(one) or 0.0), -float(most[one.feature.latent_index])))
        return [
            self._active(one, steps[int(peaks[:, one.feature.latent_index].argmax())], strength(one), size)
            for one in firing[: request.count]
        ]

    def _active(self, one: Shown, step: int, strength: float | None, size: tuple[int, int]) -> Active:
        acts, indices = self.codes[step]
        latent = one.feature.latent_index
        # Unused slots hold act 0, so index 0 in them does no harm.
        heat = (acts * (indices == latent)).sum(1).reshape(self.grid).astype(np.float32)
        row, col = divmod(int(heat.argmax()), self.grid[1])
        boxes = [cell_box((int(r), int(c)), self.grid, size) for r, c in np.argwhere(heat >= MARKED * heat.max())]
        lefts, tops, rights, bottoms = zip(*boxes, strict=True)
        return Active(
            feature=f"{self.row.name}:{latent}",
            layer=self.row.layer,
            name=one.row.name,
            explanation=one.row.explanation,
            score=one.score,
            activation=round(float(heat.max()), 4),
            strength=None if strength is None else round(strength, 4),
            cells=round(float((heat > 0).mean()), 4),
            cell=(row, col),
            step=step,
            box=(min(lefts), min(tops), max(rights), max(bottoms)),
            activation_map=heat,
        )


def _steps(ctx: Context, row: Dictionary, job: ImageJob) -> tuple[int, ...]:
    """The steps that a dictionary reads; of a noised picture those in the later half, else its last."""
    read = [step for step in row.steps if step < ctx.generation.steps]
    if not read:
        raise UsageError(
            f"{row.name} reads steps {', '.join(map(str, row.steps))}, and {ctx.generation.steps} are run",
            "leave it out, or set `steps` as it was fitted",
        )
    if job.picture is None or job.picture.inverted:
        return tuple(read)
    return tuple([step for step in read if step >= ctx.generation.steps / 2] or read[-1:])
