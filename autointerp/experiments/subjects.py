"""What experiments work on: a stored dictionary with its controls and labels, pictures, and other runs of a model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from autointerp.db import queries
from autointerp.dictionaries.kinds import KINDS
from autointerp.errors import UsageError
from autointerp.experiments.protocol import Cost, Unit
from autointerp.project.context import Context
from autointerp.project.pace import slowness
from autointerp.project.targets import Target, find_dictionary

if TYPE_CHECKING:
    import torch
    from PIL import Image

    from autointerp.db.models import DictionaryRow
    from autointerp.dictionaries.protocol import Dictionary
    from autointerp.diffusion.jobs import ImageJob
    from autointerp.diffusion.layers import Layer
    from autointerp.diffusion.model import Model
    from autointerp.worlds import SceneFacts

BATCH = 40
"""Pictures that are measured and stored at once."""


@dataclass(frozen=True)
class Condition:
    """A model and its number of denoising steps.

    Attributes:
        model: The model as settings name it.
        steps: The number of steps.
    """

    model: str
    steps: int

    @classmethod
    def parse(cls, text: str) -> Condition:
        """Read a condition as the command line writes it: `MODEL:STEPS`.

        Raises:
            UsageError: It is not written so.
        """
        model, colon, steps = text.rpartition(":")
        if not colon or not model or not steps.isdecimal() or not 0 < int(steps) <= 1000:
            raise UsageError(f"{text!r} is no model with a number of steps", "write MODEL:STEPS, e.g. shapes:12")
        return cls(model, int(steps))

    @property
    def name(self) -> str:
        """The condition in a table."""
        return f"{self.model.rstrip('/').rpartition('/')[2]}, {self.steps} step{'s' if self.steps > 1 else ''}"

    def context(self, ctx: Context) -> Context:
        """Return the workspace's context with this model and number of steps; the same one where nothing differs."""
        if (self.model, self.steps) == (ctx.settings.model, ctx.generation.steps):
            return ctx
        return OtherRun(ctx, model=self.model, steps=self.steps, capture_steps=list(range(self.steps)))


OWN_FILES: Mapping[str, Any] = {"lora": [], "variant": None, "config": None}
"""Loading settings that say which files a model's weights come from, as another model has them by default."""


class OtherRun(Context):
    """A context with another model or other settings, which shares the loaded model where that is the same.

    Args:
        ctx: The workspace's context.
        loading: What decides the weights, of the settings' table `loading`, over `OWN_FILES`. None keeps that of the
            workspace for the workspace's model.
        revision: Revision of the other model; None is the workspace's where the model is the workspace's.
        **changed: Settings that differ.
    """

    def __init__(
        self, ctx: Context, loading: Mapping[str, Any] | None = None, revision: str | None = None, **changed: Any
    ) -> None:
        machine = {"device": ctx.settings.device, "dtype": ctx.settings.dtype}
        super().__init__(ctx.workspace, ctx.progress, **changed, **machine)
        self._other = ctx
        is_same = self.settings.model == ctx.settings.model
        if loading is not None or not is_same:
            revision = revision or (ctx.settings.revision if is_same else None)
            # `changed` takes a None as no change.
            own = self.settings.loading.model_copy(update={**OWN_FILES, **(loading or {})})
            self.settings = self.settings.model_copy(update={"loading": own, "revision": revision})
            self.settings = self.settings.changed(loading=own.placed(self._placed))

    @property
    def shares_model(self) -> bool:
        """Whether the weights are those of the workspace's model, which is then loaded once."""
        keys = ("model", "revision", "loading")
        return all(getattr(self.settings, key) == getattr(self._other.settings, key) for key in keys)

    @cached_property
    def model(self) -> Model:
        """The loaded pipeline."""
        return self._other.model if self.shares_model else super().model


@dataclass(frozen=True)
class NamedFeature:
    """A feature with the name that counts, and the activation above which it is active."""

    latent: int
    name: str
    threshold: float


@dataclass(frozen=True)
class ReadPicture:
    """A picture, and what was read in it."""

    picture: Image.Image
    facts: SceneFacts


def stored_dictionary(ctx: Context, layer: str, name: str | None) -> DictionaryRow:
    """Return the dictionary that an experiment is about.

    Raises:
        UsageError: There is no dictionary of the name, or it reads another layer.
        AutointerpError: The layer has none yet.
    """
    row = find_dictionary(ctx, Target(layer, name or ctx.settings.dictionary.names.get(layer)), "fit")
    if row.layer != ctx.layer(layer).name:
        raise UsageError(f"{row.name} belongs to layer {row.layer}, not {layer}", "name that layer")
    if row.stream != "image":
        raise UsageError(f"{row.name} reads text tokens", "name a dictionary of image tokens")
    check_rebuilds_layer(row)
    return row


def check_rebuilds_layer(row: DictionaryRow) -> None:
    """Refuse a dictionary that rebuilds another tensor than it reads.

    Raises:
        UsageError: It is a transcoder.
    """
    if row.kind in KINDS and KINDS[row.kind].transcodes:
        raise UsageError(
            f"{row.name} rebuilds an MLP's output, and this experiment asks what its own layer holds",
            "name a dictionary of the layer itself: --dictionary, or dictionary.names in the settings",
        )


def loaded(ctx: Context, row: DictionaryRow, device: str) -> Dictionary:
    """Return a stored dictionary, loaded and checked against its hash."""
    from autointerp.dictionaries.storage import load_dictionary

    return load_dictionary(ctx.workspace.dictionary_dir(row.name), row.weights_sha256).to(device)


def named_features(ctx: Context, row: DictionaryRow) -> list[NamedFeature]:
    """Return the features of a dictionary that have a name, by latent."""
    from autointerp.crops.records import ACTIVE_SHARE

    with ctx.db.session() as session:
        best = queries.labels.best(session, row.id)
        latents = queries.features.ids_by_index(session, row.id)
        of_id = {feature_id: latent for latent, feature_id in latents.items()}
        peaks = queries.features.peaks(session, row.id)
        found = [
            NamedFeature(of_id[feature_id], one.label.name_before or one.label.name, ACTIVE_SHARE * peaks[feature_id])
            for feature_id, one in best.items()
            if one.label.status == "ok" and peaks.get(feature_id, 0) > 0
        ]
    return sorted(found, key=lambda feature: feature.latent)


def pictures_of(ctx: Context, count: int) -> list[ImageJob]:
    """Return the held-out pictures of an experiment: of other prompts and seeds than any crop has.

    Raises:
        UsageError: There are not enough prompts, or they are real pictures.
    """
    if ctx.settings.images_dir is not None:
        raise UsageError("experiments generate pictures, and this workspace reads real ones", "use one with prompts")
    return ctx.prompts.held_out(count, ctx.settings.seed, ctx.settings.images)


def batches_of(prefix: str, count: int, images: int = 1, **about: Any) -> list[Unit]:
    """Return units of up to `BATCH` pictures, of which each takes `images` generations."""
    edges = [(start, min(start + BATCH, count)) for start in range(0, count, BATCH)]
    return [Unit(f"{prefix}pictures {a}:{b}", (b - a) * images, {**about, "start": a, "stop": b}) for a, b in edges]


def painting_cost(ctx: Context, images: int, steps: int) -> Cost:
    """Return what it takes to generate pictures with this context's model."""
    branches = 2 if ctx.generation.guidance > 1 else 1
    runs = images * steps * branches
    pace = ctx.world.pace
    if pace is None or not images:
        return Cost(runs, images, None if images else 0.0)
    return Cost(runs, images, slowness() * (pace.loading + runs * pace.denoising + images * pace.painting))


def added(costs: Sequence[Cost]) -> Cost:
    """Return the sum of costs; seconds are known if all are."""
    seconds = [cost.seconds for cost in costs]
    total = None if any(one is None for one in seconds) else sum(one for one in seconds if one is not None)
    return Cost(sum(cost.runs for cost in costs), sum(cost.images for cost in costs), total)


def random_control(acts: torch.Tensor, row: DictionaryRow, l0: float, seed: int) -> Dictionary:
    """Return random directions with as many latents as a dictionary, of which as many fire.

    Args:
        acts: Raw activations of the layer, [n, d_in], for the scale of the directions.
        row: The dictionary that they are the control of.
        l0: How many latents fire where `row.k` does not say.
        seed: Seed of the directions.
    """
    from autointerp.dictionaries.baselines import RandomDirections
    from autointerp.dictionaries.normalize import Normalization

    return RandomDirections.draw(Normalization.measure(acts), row.num_latents, row.k or max(1, round(l0)), seed)


def resized(masks: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
    """Return masks [..., rows, cols] on another grid: each cell gets the value at its middle."""
    rows, cols = masks.shape[-2:]
    if (rows, cols) == grid:
        return masks
    take = [((2 * np.arange(size) + 1) * of) // (2 * size) for size, of in zip(grid, (rows, cols), strict=True)]
    return masks[..., take[0][:, None], take[1][None, :]]


def captured(
    ctx: Context,
    jobs: Sequence[ImageJob],
    layers: Sequence[Layer],
    steps: Sequence[int],
    consumer: Callable[[Any], None],
    decode: bool = True,
    batch_size: int | None = None,
) -> Iterator[tuple[list[ImageJob], list[Any]]]:
    """Generate pictures while layers are read; see `diffusion.generation.generate`."""
    import torch

    from autointerp.diffusion.capture import Capture
    from autointerp.diffusion.generation import generate

    with torch.inference_mode():
        yield from generate(
            ctx.model,
            jobs,
            ctx.generation,
            Capture(layers, steps, consumer),
            batch_size or ctx.settings.batch_size,
            decode,
        )
