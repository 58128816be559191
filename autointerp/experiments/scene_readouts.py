"""What `emergence` and `probe` share: pictures on which readouts are fitted, chosen and measured, with their truth.

The first pictures fit the readouts, the next ones choose their ridges and thresholds, and all others are measured. What
is true of a picture is read in the finished picture: by the world's oracle, else by detector and segmenter for phrases.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from autointerp.experiments.layer_inputs import LayerInputs, configured, layers_with_dictionaries
from autointerp.experiments.protocol import Cost, Figure, PlotLine, Unit
from autointerp.experiments.scene_batches import SceneBatch, attributes_of, scene_batches, scene_reader
from autointerp.experiments.subjects import Condition, batches_of, painting_cost, pictures_of
from autointerp.project.context import Context, identity

if TYPE_CHECKING:
    import torch

    from autointerp.diffusion.jobs import ImageJob
    from autointerp.diffusion.layers import Layer
    from autointerp.diffusion.words import WordReader
    from autointerp.progress import Task

FITTED, CHOSEN = 100, 60
"""Pictures that readouts are fitted on, and that their ridges and thresholds are chosen on; neither is measured."""
REFERENCE_CELLS = 4096
"""Cells on whose scale random directions are drawn."""

Place = tuple[str, int, str]
"""The name of a layer, or `input`; a step; and how the layer is read there."""


@dataclass(frozen=True)
class ReadoutRequest:
    """What is read.

    Attributes:
        at: The context of the model and the steps.
        inputs: The layers with their dictionaries.
        steps: The steps.
        images: Pictures that are measured.
        phrases: What is looked for where the model's world is not known.
    """

    at: Context
    inputs: Sequence[LayerInputs]
    steps: Sequence[int]
    images: int
    phrases: Sequence[str] = ()

    @classmethod
    def of(cls, ctx: Context, options: Mapping[str, Any]) -> ReadoutRequest:
        """Read the options of a command: all steps of the model.

        Raises:
            UsageError: The model or a layer does not exist.
            AutointerpError: A layer has no dictionary yet.
        """
        at = Condition.parse(options["at"]).context(ctx) if options["at"] else ctx
        inputs = layers_with_dictionaries(ctx, at, options["layers"])
        return cls(at, inputs, range(at.generation.steps), options["images"], options.get("phrases", ()))


class SceneReadouts:
    """Pictures with activations and truth, for readouts.

    Args:
        ctx: The command's view of the workspace.
        request: What is read.

    Raises:
        UsageError: Nothing is known of what is true of the pictures, and no phrases are given.
    """

    version: int
    controls: frozenset[str] = frozenset()

    def __init__(self, ctx: Context, request: ReadoutRequest) -> None:
        self.ctx, self.request, self.at = ctx, request, request.at
        self.inputs, self.steps = list(request.inputs), list(request.steps)
        self.layers = [one.layer for one in self.inputs]
        # Refused here, before anything is generated.
        self.reader = scene_reader(self.at, self.layers, request.phrases)
        self.attributes = attributes_of(self.reader)

    def configuration(self) -> dict[str, Any]:
        """Return everything that decides the figures."""
        about = self.at.description
        found: dict[str, Any] = {
            "version": self.version,
            "read": {"model": about.name, "revision": about.revision, "generation": asdict(self.at.generation)},
            "dictionaries": dict(configured(self.inputs)),
            "labels": identity([(one.latent, one.name, one.threshold) for of in self.inputs for one in of.named]),
            "images": self.request.images,
            "fitted": FITTED,
            "chosen": CHOSEN,
            "prompts": self.at.prompts.identity,
            "seed": self.ctx.settings.seed,
        }
        if self.at.world.scenes is None:
            found["looked_for"] = [list(self.attributes), self.at.settings.grounding.model_dump()]
        return found

    def units(self) -> list[Unit]:
        """Return the measured pictures in batches."""
        return batches_of("", max(len(self._jobs()) - FITTED - CHOSEN, 0))

    def cost(self, units: Sequence[Unit]) -> Cost:
        """Return what it takes to measure these units; readouts are fitted anew after a stop."""
        images = sum(unit.images for unit in units)
        return painting_cost(self.at, images + (FITTED + CHOSEN if units else 0), self.at.generation.steps)

    def fitting(self, bar: Task | None = None) -> Iterator[SceneBatch]:
        """Yield the pictures that readouts are fitted on."""
        return self._batches(self._jobs()[:FITTED], bar, "fitting readouts")

    def choosing(self, bar: Task | None = None) -> Iterator[SceneBatch]:
        """Yield the pictures that ridges and thresholds are chosen on."""
        return self._batches(self._jobs()[FITTED : FITTED + CHOSEN], bar, "choosing ridges")

    def measured(self, start: int, stop: int) -> Iterator[SceneBatch]:
        """Yield measured pictures from one number to another, the end exclusive."""
        return self._batches(self._jobs()[FITTED + CHOSEN :][start:stop])

    def also_read(self) -> list[Layer]:
        """Return the layers that are read beside those with dictionaries."""
        return []

    def word_reader(self) -> WordReader | None:
        """Return what finds the words of prompts, where word maps are read too."""
        return None

    def layer_inputs(
        self, batch: SceneBatch, one: LayerInputs, step: int
    ) -> Iterator[tuple[Place, torch.Tensor, tuple[int, int]]]:
        """Yield a layer's activations, its codes, and codes along random directions at a step, with place and grid."""
        acts = batch.acts[one.layer, step].flatten(0, 1)
        if one.control is None:
            one.set_control(acts[:REFERENCE_CELLS], self.ctx.settings.seed)
        yield (one.layer.name, step, "raw"), acts, one.layer.grid
        yield (one.layer.name, step, "codes"), one.codes(acts, step), one.layer.grid
        yield (one.layer.name, step, "random"), one.random_codes(acts, step), one.layer.grid

    def line(self, label: str, figures: Sequence[Figure], name: str, layer: str, way: str) -> PlotLine | None:
        """Return the line of a figure over the steps; None where there is no figure."""
        at = {figure.group: figure for figure in figures if (figure.name, figure.way) == (name, way)}
        own = [at.get(f"{layer}, step {step}") for step in self.steps]
        values, low, high = (
            [getattr(one, part) if one is not None else None for one in own] for part in ("value", "low", "high")
        )
        if all(value is None for value in values):
            return None
        return PlotLine(label, [float(step) for step in self.steps], values, low, high, way in self.controls)

    def _jobs(self) -> list[ImageJob]:
        return pictures_of(self.at, FITTED + CHOSEN + self.request.images)

    def _batches(self, jobs: Sequence[ImageJob], bar: Task | None = None, what: str = "") -> Iterator[SceneBatch]:
        """Yield pictures with their activations; pictures that are not measured are counted behind the bar."""
        seen, layers = 0, [*self.layers, *self.also_read()]
        words = self.word_reader()
        for batch in scene_batches(self.at, self.reader, jobs, layers, self.steps, with_input=True, words=words):
            yield batch
            seen += len(batch.jobs)
            if bar is not None:
                bar.advance(0, f"{what}: {seen}/{len(jobs)} images")
