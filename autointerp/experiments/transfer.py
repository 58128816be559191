"""`transfer`: a dictionary at other numbers of steps and on other models than it was fitted on, without training.

SDXL-Turbo's one-step dictionaries are said to serve at four steps and on the base model (arXiv 2410.22366). Here the
same prompts and seeds are generated under every condition. At each step it is measured how well the dictionary rebuilds
the layer, whether its features have the same strongest pictures, and whether its labels still hold where they fire.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from autointerp.experiments.protocol import Cost, Figure, PictureRow, Plot, PlotLine, Unit
from autointerp.experiments.scene_batches import refuse_phrases, scene_reader
from autointerp.experiments.statistics import Estimate, mean, ratio, share
from autointerp.experiments.subjects import (
    Condition,
    NamedFeature,
    added,
    batches_of,
    captured,
    loaded,
    named_features,
    painting_cost,
    pictures_of,
    random_control,
    stored_dictionary,
)
from autointerp.experiments.transfer_readings import WAYS, TransferReading, joined
from autointerp.project.context import Context, identity
from autointerp.stages.evaluate.planning import has_truth
from autointerp.worlds import WORLDS

if TYPE_CHECKING:
    import torch
    from PIL import Image

    from autointerp.db.models import DictionaryRow
    from autointerp.diffusion.capture import LayerActivations
    from autointerp.diffusion.layers import Layer
    from autointerp.progress import Task
    from autointerp.worlds import SceneReader

VERSION = 1
STRONGEST = 10
"""Pictures of a feature that are compared: its strongest."""
SAMPLED = 512
"""Features whose strongest pictures are compared, at most; those of the largest density first."""
REFERENCE = 16
"""Pictures of the dictionary's own condition that the layer's mean and the random directions are measured on."""
HOLDS = 0.75
"""A label is true where its name holds in so many of the feature's active cells..."""
BASE = 0.5
"""... and in at most so many times as many of all cells."""
LEAST_ACTIVE = 20
"""Active cells of a feature below which its label is not true there: the feature is silent."""


class Transfer:
    """The experiment `transfer`; see the module.

    Args:
        ctx: The command's view of the workspace.
        row: The dictionary.
        conditions: Where it is applied; its own condition is the first.
        images: Pictures of each condition.
        phrases: What is looked for where the world is not known; labels that are one of them are held against it.
    """

    kind = "transfer"

    def __init__(
        self,
        ctx: Context,
        row: DictionaryRow,
        conditions: Sequence[Condition],
        images: int,
        phrases: Sequence[str] = (),
    ) -> None:
        self.phrases = tuple(phrase.lower() for phrase in phrases)
        self.ctx, self.row, self.conditions, self.images = ctx, row, tuple(conditions), images
        self.home = self.conditions[0]
        self.title = f"Does {row.name} (of {self.home.name}) serve at other numbers of steps and on other models?"
        self._contexts = {one: one.context(ctx) for one in self.conditions}
        # Other conditions may need phrases that one of a known world does not.
        if all(at.world.scenes is not None for at in self._contexts.values()):
            refuse_phrases(ctx, self.phrases)
        self._features: list[NamedFeature] | None = None
        self._layers: dict[Condition, Layer] = {one: at.layer_of(row) for one, at in self._contexts.items()}

    @classmethod
    def plan(cls, ctx: Context, options: Mapping[str, Any]) -> Transfer:
        """Make the experiment of its options.

        Raises:
            UsageError: A condition is not written so, or a model lacks the dictionary's layer.
            AutointerpError: The layer has no dictionary yet.
        """
        row = stored_dictionary(ctx, options["layer"], options["dictionary"])
        home = Condition(ctx.settings.model, ctx.generation.steps)
        given = [Condition.parse(text) for text in options["at"]]
        if not given:
            steps = sorted({1, 2, 4} | ({home.steps} if home.steps <= 4 else set()))
            given = [Condition(ctx.settings.model, count) for count in steps]
            if not ctx.world.is_open:
                given = [Condition("shapes-turbo", count) for count in (1, 2, 4)] + [Condition("shapes", 12)]
                given = [one for one in given if one.model in WORLDS]
        return cls(ctx, row, list(dict.fromkeys([home, *given])), options["images"], options.get("phrases", ()))

    def configuration(self) -> dict[str, Any]:
        """Return everything that decides the figures."""
        looked_for = [list(self.phrases), self.ctx.settings.grounding.model_dump()]
        return {
            **({"looked_for": looked_for} if self.phrases else {}),
            "version": VERSION,
            "dictionary": self.row.weights_sha256,
            "name": self.row.name,
            "hookpoint": self.row.hookpoint,
            "conditions": [
                {
                    "model": at.description.name,
                    "revision": at.description.revision,
                    "generation": asdict(at.generation),
                }
                for at in self._contexts.values()
            ],
            "home_steps": list(self.row.steps),
            "images": self.images,
            "prompts": self.ctx.prompts.identity,
            "seed": self.ctx.settings.seed,
            "labels": identity([(one.latent, one.name, one.threshold) for one in self._named()]),
        }

    def units(self) -> list[Unit]:
        """Return the pictures of every condition in batches."""
        count = len(pictures_of(self.ctx, self.images))
        return [unit for one in self.conditions for unit in batches_of(f"{one.name}, ", count, condition=one)]

    def cost(self, units: Sequence[Unit]) -> Cost:
        """Return what it takes to measure these units."""
        of = {one: sum(unit.images for unit in units if unit.about["condition"] == one) for one in self.conditions}
        costs = [painting_cost(self._contexts[one], images, one.steps) for one, images in of.items()]
        reference = painting_cost(self.ctx, REFERENCE if units else 0, self.home.steps)
        return added([*costs, reference])

    def measure(self, units: Sequence[Unit], bar: Task) -> Iterator[tuple[Unit, dict[str, Any]]]:
        """Measure units, condition by condition."""
        if not units:
            return
        acts = self._reference()
        dictionary = loaded(self.ctx, self.row, self.ctx.model.device)
        control = random_control(acts, self.row, self.row.l0 or 1.0, self.ctx.settings.seed)
        ways = dict(zip(WAYS, (dictionary, control.to(self.ctx.model.device)), strict=True))
        jobs = pictures_of(self.ctx, self.images)
        for condition in self.conditions:
            at, layer = self._contexts[condition], self._layers[condition]
            scenes = self._scenes(at, layer)
            for unit in units:
                if unit.about["condition"] != condition:
                    continue
                bar.advance(0, condition.name)
                batch = jobs[unit.about["start"] : unit.about["stop"]]
                reading = TransferReading(layer, ways, acts.mean(0), self._sampled(), self._named() if scenes else [])
                steps = range(condition.steps)
                for made, pictures in captured(at, batch, [layer], steps, reading.consume, scenes is not None):
                    if scenes is not None:
                        reading.see(scenes, [job.index for job in made], pictures)
                yield unit, reading.result()

    def figures(self, results: Mapping[str, Mapping[str, Any]]) -> list[Figure]:
        """Compute all figures, by condition and step."""
        steps = {
            (one, step): joined([results[unit.key]["steps"][step] for unit in self.units_of(one)])
            for one in self.conditions
            for step in range(one.steps)
        }
        home = [steps[self.home, step] for step in self.row.steps if step < self.home.steps]
        home = home or [steps[self.home, step] for step in range(self.home.steps)]
        true_at_home = _true_labels(home)
        figures = []
        for (one, step), read in steps.items():
            group = f"{one.name}: step {step}"
            for way in WAYS:
                of = read["ways"][way]
                total = Estimate(*ratio(of["error"], of["variance"]))
                found = {
                    "fvu": total,
                    "l0": mean(of["l0"]),
                    "dead share": Estimate(float((of["fired"] == 0).mean()), None, None, len(of["l0"])),
                    "strongest pictures shared": _overlap(of["maxima"], _maxima(home, way)),
                }
                figures += [Figure(name, group, way, *value, control=way == "random") for name, value in found.items()]
            if true_at_home:
                still = len(true_at_home & _true_labels([read]))
                value = share(still, len(true_at_home))
                figures.append(Figure("labels that stay true", group, "dictionary", *value))
        return figures

    def plots(self, figures: Sequence[Figure]) -> list[Plot]:
        """Draw each figure over the steps, a line for each condition."""
        plots = []
        for name in ("fvu", "strongest pictures shared", "labels that stay true"):
            lines = []
            longest = max(self.conditions, key=lambda one: one.steps)
            for one in self.conditions:
                for way in WAYS if one == longest else WAYS[:1]:
                    own = [
                        figure
                        for figure in figures
                        if figure.name == name and figure.way == way and figure.group.startswith(f"{one.name}: ")
                    ]
                    if own:
                        x = [step / one.steps for step in range(one.steps)]
                        label = one.name if way == "dictionary" else f"random directions, {one.name}"
                        lines.append(_line(label, x, own))
            if lines:
                plots.append(Plot(name, "share of the steps that are done", name, lines))
        return plots

    def pictures(self, results: Mapping[str, Mapping[str, Any]]) -> list[PictureRow]:
        """Show the first pictures under every condition."""
        del results
        from autointerp.crops.panel import Panel

        jobs = pictures_of(self.ctx, 4)
        made: dict[Condition, list[Image.Image]] = {}
        for one, at in self._contexts.items():
            made[one] = [p for _, some in captured(at, jobs, [], [], lambda _: None) for p in some]
        return [
            PictureRow(job.prompt, [Panel(one.name, made[one][i]) for one in self.conditions])
            for i, job in enumerate(jobs)
        ]

    def units_of(self, condition: Condition) -> list[Unit]:
        """Return the units of one condition."""
        return [unit for unit in self.units() if unit.about["condition"] == condition]

    def _named(self) -> list[NamedFeature]:
        if self._features is None:
            self._features = named_features(self.ctx, self.row)
            if self.phrases:
                self._features = [one for one in self._features if one.name.lower() in self.phrases]
        return self._features

    def _scenes(self, at: Context, layer: Layer) -> SceneReader | None:
        """Return what reads the pictures of a condition; None where nothing does, so that no label is held against."""
        known = has_truth(at, layer) if at.world.scenes is not None else bool(self.phrases)
        return scene_reader(at, [layer], () if at.world.scenes is not None else self.phrases) if known else None

    def _sampled(self) -> np.ndarray:
        """Return the latents whose strongest pictures are compared, int64."""
        return np.arange(min(self.row.num_latents, SAMPLED))

    def _reference(self) -> torch.Tensor:
        """Return activations of the first pictures of the dictionary's own condition, float32 [n, d_in]."""
        import torch

        found: list[torch.Tensor] = []
        layer, steps = self._layers[self.home], [step for step in self.row.steps if step < self.home.steps]
        jobs = pictures_of(self.ctx, min(REFERENCE, self.images))

        def keep(read: LayerActivations) -> None:
            found.append(read.flat().cpu().clone())

        for _ in captured(self.ctx, jobs, [layer], steps or range(self.home.steps), keep, decode=False):
            pass
        return torch.cat(found)


def _maxima(read: Sequence[Mapping[str, Any]], way: str) -> np.ndarray:
    """Return the maximum of each picture and latent over several steps, [pictures, latents]."""
    return np.max([one["ways"][way]["maxima"] for one in read], axis=0)


def _overlap(here: np.ndarray, home: np.ndarray) -> Estimate:
    """Return the mean share of a feature's strongest pictures that are its strongest at home, over features."""
    count = min(STRONGEST, len(home) // 2)
    # A feature that fires in fewer pictures has no such list.
    live = (home > 0).sum(0) >= count
    shares = []
    for latent in np.flatnonzero(live):
        fires = int((here[:, latent] > 0).sum())
        first = set(np.argsort(-home[:, latent], kind="stable")[:count].tolist())
        other = set(np.argsort(-here[:, latent], kind="stable")[: min(count, fires)].tolist())
        shares.append(len(first & other) / count)
    return mean(shares)


def _true_labels(read: Sequence[Mapping[str, Any]]) -> set[int]:
    """Return the numbers of the labels that hold at these steps together."""
    counted = [one["labels"] for one in read if one["labels"] is not None]
    if not counted:
        return set()
    active, held, base = np.sum(counted, axis=0)
    cells = sum(one["cells"] for one in read)
    precision = held / np.maximum(active, 1)
    true = (active >= LEAST_ACTIVE) & (precision >= HOLDS) & (base / cells <= BASE * precision)
    return set(np.flatnonzero(true).tolist())


def _line(label: str, x: Sequence[float], own: Sequence[Figure]) -> PlotLine:
    return PlotLine(
        label,
        x,
        [figure.value for figure in own],
        [figure.low for figure in own],
        [figure.high for figure in own],
        own[0].control,
    )
