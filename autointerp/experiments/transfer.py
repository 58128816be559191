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

from autointerp.experiments.packing import pack, unpack
from autointerp.experiments.protocol import Cost, Figure, PictureRow, Plot, PlotLine, Unit
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
    resized,
    stored_dictionary,
)
from autointerp.project.context import Context, identity
from autointerp.stages.evaluate.planning import has_truth
from autointerp.worlds import WORLDS

if TYPE_CHECKING:
    import torch
    from PIL import Image

    from autointerp.db.models import DictionaryRow
    from autointerp.dictionaries.protocol import Dictionary, SparseCode
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
WAYS = ("dictionary", "random")


class Transfer:
    """The experiment `transfer`; see the module.

    Args:
        ctx: The command's view of the workspace.
        row: The dictionary.
        conditions: Where it is applied; its own condition is the first.
        images: Pictures of each condition.
    """

    kind = "transfer"

    def __init__(self, ctx: Context, row: DictionaryRow, conditions: Sequence[Condition], images: int) -> None:
        self.ctx, self.row, self.conditions, self.images = ctx, row, tuple(conditions), images
        self.home = self.conditions[0]
        self.title = f"Does {row.name} (of {self.home.name}) serve at other numbers of steps and on other models?"
        self._contexts = {one: one.context(ctx) for one in self.conditions}
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
        return cls(ctx, row, list(dict.fromkeys([home, *given])), options["images"])

    def configuration(self) -> dict[str, Any]:
        """Return everything that decides the figures."""
        return {
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
            scenes = at.world.scenes.load()() if at.world.scenes is not None and has_truth(at, layer) else None
            for unit in units:
                if unit.about["condition"] != condition:
                    continue
                bar.advance(0, condition.name)
                batch = jobs[unit.about["start"] : unit.about["stop"]]
                reading = _Reading(layer, ways, acts.mean(0), self._sampled(), self._named() if scenes else [])
                steps = range(condition.steps)
                for made, pictures in captured(at, batch, [layer], steps, reading.consume, scenes is not None):
                    if scenes is not None:
                        reading.see(scenes, [job.index for job in made], pictures)
                yield unit, reading.result()

    def figures(self, results: Mapping[str, Mapping[str, Any]]) -> list[Figure]:
        """Compute all figures, by condition and step."""
        steps = {
            (one, step): _joined([results[unit.key]["steps"][step] for unit in self.units_of(one)])
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
        return self._features

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
            found.append(read.acts.reshape(-1, read.acts.shape[-1]).cpu().clone())

        for _ in captured(self.ctx, jobs, [layer], steps or range(self.home.steps), keep, decode=False):
            pass
        return torch.cat(found)


class _Reading:
    """What is read of one unit: sums of each picture, by step and way.

    Args:
        layer: The layer.
        ways: What encodes, by way.
        centre: The layer's mean, float32 [d_in], which squares are taken from.
        sampled: The latents whose maxima are kept.
        named: The features whose labels are held against the scenes.
    """

    def __init__(
        self,
        layer: Layer,
        ways: Mapping[str, Dictionary],
        centre: torch.Tensor,
        sampled: np.ndarray,
        named: Sequence[NamedFeature],
    ) -> None:
        self.layer, self.ways, self.centre, self.sampled, self.named = layer, ways, centre, sampled, named
        self.steps: dict[int, dict[str, Any]] = {}
        self._codes: list[tuple[int, tuple[int, ...], np.ndarray, np.ndarray]] = []

    def consume(self, read: LayerActivations) -> None:
        """Take in a batch's activations at one step."""
        import torch

        from autointerp.dictionaries.sparse import times_fired

        images, cells, width = read.acts.shape
        acts = read.acts.reshape(-1, width)
        shifted = acts - self.centre.to(acts)
        here = self.steps.setdefault(
            read.step,
            {"cells": 0, "sum": 0.0, "square": [], "ways": {way: _empty() for way in self.ways}, "labels": None},
        )
        here["cells"] += len(acts)
        here["sum"] = here["sum"] + shifted.double().sum(0).cpu().numpy()
        here["square"].append(shifted.square().sum(1).double().reshape(images, cells).sum(1).cpu().numpy())
        for way, dictionary in self.ways.items():
            code = dictionary.encode(acts, read.step)
            error = (acts - dictionary.decode(code)).square().sum(1).double().reshape(images, cells).sum(1)
            of = here["ways"][way]
            of["error"].append(error.cpu().numpy())
            of["l0"].append((code.latent_acts > 0).sum(1).double().reshape(images, cells).mean(1).cpu().numpy())
            of["fired"] = of["fired"] + times_fired(code, dictionary.num_latents).cpu().numpy()
            peaks = torch.zeros(images, dictionary.num_latents, device=acts.device)
            at = code.latent_indices.reshape(images, -1)
            peaks.scatter_reduce_(1, at, code.latent_acts.float().reshape(images, -1), "amax")
            of["maxima"].append(peaks.cpu().numpy()[:, self.sampled].astype(np.float16))
            if way == WAYS[0] and self.named:
                indices = tuple(job.index for job in read.jobs)
                self._codes.append((read.step, indices, *_on_cells(code, images)))

    def see(self, scenes: SceneReader, indices: Sequence[int], pictures: Sequence[Image.Image]) -> None:
        """Hold labels against the pictures of a batch whose activations were taken in."""
        facts = scenes.read(pictures)
        names = list(dict.fromkeys(one.name for one in self.named))
        found = {name: scenes.holds(name, facts) for name in names}
        grid, flat = self.layer.grid, len(facts)
        masks = {
            name: resized(mask, grid).reshape(flat, -1) if mask is not None else None for name, mask in found.items()
        }
        for step, of, acts, latents in self._codes:
            assert of == tuple(indices)
            labels = self.steps[step]["labels"]
            if labels is None:
                labels = self.steps[step]["labels"] = np.zeros((3, len(self.named)), np.int64)
            for number, one in enumerate(self.named):
                mask = masks[one.name]
                if mask is None:
                    continue
                active = ((latents == one.latent) & (acts > one.threshold)).any(2)
                labels[0, number] += int(active.sum())
                labels[1, number] += int((active & mask).sum())
                labels[2, number] += int(mask.sum())
        self._codes = []

    def result(self) -> dict[str, Any]:
        """Return the unit's result as plain JSON."""
        return {"steps": [self._of_step(self.steps[step]) for step in sorted(self.steps)]}

    def _of_step(self, here: dict[str, Any]) -> dict[str, Any]:
        ways = {
            way: {
                "error": [float(v) for v in np.concatenate(of["error"])],
                "l0": [float(v) for v in np.concatenate(of["l0"])],
                "fired": pack(of["fired"].astype(np.int32)),
                "maxima": pack(np.concatenate(of["maxima"])),
            }
            for way, of in here["ways"].items()
        }
        labels = here["labels"]
        return {
            "cells": here["cells"],
            "sum": pack(here["sum"]),
            "square": [float(v) for v in np.concatenate(here["square"])],
            "ways": ways,
            "labels": None if labels is None else labels.tolist(),
        }


def _empty() -> dict[str, Any]:
    return {"error": [], "l0": [], "fired": 0, "maxima": []}


def _on_cells(code: SparseCode, images: int) -> tuple[np.ndarray, np.ndarray]:
    """Return acts and latents by picture and cell, [images, cells, k]."""
    acts, latents = (part.cpu().numpy().reshape(images, -1, part.shape[-1]) for part in code)
    return acts, latents


def _joined(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Join what was read of all units at one step."""
    cells = sum(part["cells"] for part in parts)
    square = np.concatenate([part["square"] for part in parts])
    total = np.sum([unpack(part["sum"]) for part in parts], axis=0)
    # Squares were taken from a fixed point. Around the mean of all cells they are smaller by this share.
    around = 1 - float(total @ total) / max(cells * float(square.sum()), 1e-30)
    ways = {
        way: {
            "error": np.concatenate([part["ways"][way]["error"] for part in parts]),
            "variance": square * around,
            "l0": np.concatenate([part["ways"][way]["l0"] for part in parts]),
            "fired": np.sum([unpack(part["ways"][way]["fired"]) for part in parts], axis=0),
            "maxima": np.concatenate([unpack(part["ways"][way]["maxima"]) for part in parts]),
        }
        for way in WAYS
    }
    counted = [part["labels"] for part in parts if part["labels"] is not None]
    return {"cells": cells, "ways": ways, "labels": np.sum(counted, axis=0) if counted else None}


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
