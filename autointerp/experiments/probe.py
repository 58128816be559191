"""`probe`: what linear probes of equal budgets read from a layer's activations, its codes and its neurons.

Diffusion models are said to hold their best linear features in the middle of the network, at moderate noise
(arXiv 2303.09769). A probe tells the values of one attribute apart, such as the colours, in the cells that have the
attribute. Every way gets the same cells, and as many inputs as it likes, or its best few. Beside it stand the maps that
labels alone give, without any fit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from autointerp.crops.records import ACTIVE_SHARE
from autointerp.diffusion.layers import neurons_of
from autointerp.errors import AutointerpError, UsageError
from autointerp.experiments.layer_inputs import LayerInputs, configured, layers_with_dictionaries
from autointerp.experiments.packing import pack, unpack
from autointerp.experiments.protocol import Cost, Figure, PictureRow, Plot, PlotLine, Unit
from autointerp.experiments.readouts import RIDGES, Moments, Readout, one_hot, overlaps
from autointerp.experiments.scene_batches import (
    INPUT,
    OBJECT,
    SceneBatch,
    attributes_of,
    scene_batches,
    scene_reader,
    truth_of,
)
from autointerp.experiments.statistics import mean_ratio
from autointerp.experiments.subjects import Condition, batches_of, painting_cost, pictures_of
from autointerp.project.context import Context, identity

if TYPE_CHECKING:
    import torch

    from autointerp.diffusion.layers import Layer
    from autointerp.progress import Task

VERSION = 1
FITTED, CHOSEN = 100, 60
"""Pictures that probes are fitted on, and that their ridge is chosen on; neither is measured."""
BUDGETS = {"all inputs": None, "best 32 inputs": 32, "best 8 inputs": 8}
"""How many inputs a probe may use, by name; those that say most about the attribute one by one."""
CONTROLS = frozenset(("random", INPUT, "shuffled labels"))
SAID = ("labels", "shuffled labels")
REFERENCE_CELLS = 4096

Place = tuple[str, int, str]
"""The name of a layer, or `input`; a step; and how the layer is read there."""


@dataclass(frozen=True)
class _Probe:
    """A readout of an attribute, and how often each value holds in the cells that it was fitted on."""

    readout: Readout
    prior: np.ndarray

    def said(self, inputs: torch.Tensor) -> np.ndarray:
        """Return the number of the value that each cell most speaks for, beyond how frequent the value is."""
        scores = self.readout.scores(inputs).cpu().numpy() / np.maximum(self.prior, 1e-6)
        return np.asarray(scores.argmax(1))


class Probe:
    """The experiment `probe`; see the module.

    Args:
        ctx: The command's view of the workspace.
        at: The context of the model and the steps that are read.
        inputs: The layers with their dictionaries.
        steps: The steps that are read.
        images: Pictures that are measured.
    """

    kind = "probe"

    def __init__(
        self, ctx: Context, at: Context, inputs: Sequence[LayerInputs], steps: Sequence[int], images: int
    ) -> None:
        self.ctx, self.at, self.inputs, self.steps, self.images = ctx, at, list(inputs), list(steps), images
        self.layers = [one.layer for one in self.inputs]
        self.title = f"What can be read from {at.settings.model} by linear probes of equal budgets?"
        # Refused here, before anything is generated.
        self.reader = scene_reader(at, self.layers)
        self.attributes = attributes_of(self.reader)
        self.hidden: dict[str, Layer] = {}
        for layer in self.layers:
            try:
                self.hidden[layer.name] = neurons_of(at.description, layer)
            except AutointerpError as error:
                ctx.progress.note(f"no neurons of {layer.name}: {error.message}")

    @classmethod
    def plan(cls, ctx: Context, options: Mapping[str, Any]) -> Probe:
        """Make the experiment of its options.

        Raises:
            UsageError: The model, a layer or a step does not exist, or what is true of its pictures is not known.
            AutointerpError: A layer has no dictionary yet.
        """
        at = Condition.parse(options["at"]).context(ctx) if options["at"] else ctx
        total = at.generation.steps
        steps = sorted({int(step) for step in options["steps"]}) or list(range(total))
        if not 0 <= steps[0] <= steps[-1] < total:
            raise UsageError(f"step {steps[-1]} is not among the {total} steps", f"give numbers from 0 to {total - 1}")
        return cls(ctx, at, layers_with_dictionaries(ctx, at, options["layers"]), steps, options["images"])

    def configuration(self) -> dict[str, Any]:
        """Return everything that decides the figures."""
        about = self.at.description
        return {
            "version": VERSION,
            "read": {"model": about.name, "revision": about.revision, "generation": asdict(self.at.generation)},
            "steps": self.steps,
            "dictionaries": dict(configured(self.inputs)),
            "labels": identity([(one.latent, one.name, one.threshold) for of in self.inputs for one in of.named]),
            "images": self.images,
            "fitted": FITTED,
            "chosen": CHOSEN,
            "prompts": self.at.prompts.identity,
            "seed": self.ctx.settings.seed,
        }

    def units(self) -> list[Unit]:
        """Return the measured pictures in batches."""
        return batches_of("", max(len(self._jobs()) - FITTED - CHOSEN, 0))

    def cost(self, units: Sequence[Unit]) -> Cost:
        """Return what it takes to measure these units; probes are fitted anew after a stop."""
        images = sum(unit.images for unit in units)
        return painting_cost(self.at, images + (FITTED + CHOSEN if units else 0), self.at.generation.steps)

    def measure(self, units: Sequence[Unit], bar: Task) -> Iterator[tuple[Unit, dict[str, Any]]]:
        """Fit the probes, choose their ridges, and measure the units."""
        if not units:
            return
        jobs = self._jobs()
        moments = self._fit(jobs[:FITTED], bar)
        probes = self._choose(jobs[FITTED : FITTED + CHOSEN], moments, bar)
        bar.advance(0, "measuring")
        for unit in units:
            start, stop = (FITTED + CHOSEN + unit.about[end] for end in ("start", "stop"))
            found: dict[str, list[np.ndarray]] = {}
            for batch in self._batches(jobs[start:stop]):
                for key, counts in (*self._probed(batch, probes), *self._mapped(batch)):
                    found.setdefault(key, []).append(counts)
            yield unit, {key: pack(np.concatenate(parts, 1)) for key, parts in found.items()}

    def figures(self, results: Mapping[str, Mapping[str, Any]]) -> list[Figure]:
        """Compute balanced accuracies of probes, and IoU of maps from labels, by layer, step and way."""
        parts = [results[unit.key] for unit in self.units()]
        figures = []
        for key in parts[0]:
            name, layer, step, way = key.split("|")
            above, below = np.concatenate([unpack(part[key]) for part in parts], 1)
            value = mean_ratio(above, below)
            figures.append(Figure(name, f"{layer}, step {step}", way, *value, control=way in CONTROLS))
        return sorted(figures, key=lambda figure: self._order(figure.name))

    def plots(self, figures: Sequence[Figure]) -> list[Plot]:
        """Draw what probes of all inputs, and of the best few, read at each step."""
        plots = []
        for budget in ("all inputs", "best 8 inputs"):
            for kind in self.attributes:
                name = f"{kind}, {budget}"
                lines = []
                for layer in self.layers:
                    lines += [self._line(name, figures, layer.name, way) for way in ("raw", "codes")]
                middle = self.layers[len(self.layers) // 2]
                lines += [self._line(name, figures, middle.name, way) for way in ("neurons", "random")]
                lines.append(self._line(name, figures, INPUT, INPUT))
                plots.append(Plot(name, "step", "balanced accuracy", [line for line in lines if line is not None]))
        return plots

    def pictures(self, results: Mapping[str, Mapping[str, Any]]) -> list[PictureRow]:
        """Nothing is painted differently, so there is nothing to see."""
        del results
        return []

    def _order(self, name: str) -> tuple[int, int]:
        """Return the place of a figure: by budget, then by attribute; maps last."""
        kinds = list(self.attributes)
        of = name.removeprefix("IoU of ").partition(",")[0]
        budgets = [*BUDGETS, ""]
        return budgets.index(name.partition(", ")[2] if name.partition(", ")[2] in BUDGETS else ""), kinds.index(of)

    def _line(self, name: str, figures: Sequence[Figure], layer: str, way: str) -> PlotLine | None:
        at = {one.group: one for one in figures if (one.name, one.way) == (name, way)}
        own = [at.get(f"{layer}, step {step}") for step in self.steps]
        if not any(own):
            return None
        values, low, high = (
            [getattr(one, part) if one is not None else None for one in own] for part in ("value", "low", "high")
        )
        label = "noise and picture, no model" if layer == INPUT else f"{way}, {layer}"
        return PlotLine(label, [float(step) for step in self.steps], values, low, high, way in CONTROLS)

    def _jobs(self) -> list[Any]:
        return pictures_of(self.at, FITTED + CHOSEN + self.images)

    def _batches(self, jobs: Sequence[Any], bar: Task | None = None, what: str = "") -> Iterator[SceneBatch]:
        """Yield pictures with their activations; pictures that are not measured are counted behind the bar."""
        seen, layers = 0, [*self.layers, *self.hidden.values()]
        for batch in scene_batches(self.at, self.reader, jobs, layers, self.steps, with_input=True):
            yield batch
            seen += len(batch.jobs)
            if bar is not None:
                bar.advance(0, f"{what}: {seen}/{len(jobs)} images")

    def _inputs(self, batch: SceneBatch) -> Iterator[tuple[Place, torch.Tensor, tuple[int, int]]]:
        """Yield what each probe gets, with its place and the grid."""
        for one in self.inputs:
            name, grid = one.layer.name, one.layer.grid
            for step in self.steps:
                acts = batch.acts[one.layer, step].flatten(0, 1)
                if one.control is None:
                    one.set_control(acts[:REFERENCE_CELLS], self.ctx.settings.seed)
                yield (name, step, "raw"), acts, grid
                yield (name, step, "codes"), one.codes(acts, step), grid
                if name in self.hidden:
                    yield (name, step, "neurons"), batch.acts[self.hidden[name], step].flatten(0, 1), grid
                yield (name, step, "random"), one.random_codes(acts, step), grid
        for step, raw in batch.inputs.items():
            yield (INPUT, step, INPUT), raw.flatten(0, 1), self.layers[0].grid

    def _values(self, batch: SceneBatch, grid: tuple[int, int]) -> dict[str, np.ndarray]:
        """Return the value of each attribute in each cell, int64 [cells of all pictures]; -1 where it has none."""
        found = {kind: values.reshape(-1) for kind, values in truth_of(self.reader, batch.facts, grid).items()}
        # Cells without an object are the other value, so that objects are told from something.
        found[OBJECT] = np.where(found[OBJECT] < 0, 1, 0)
        return found

    def _count(self, kind: str) -> int:
        return 2 if kind == OBJECT else len(self.attributes[kind])

    def _fit(self, jobs: Sequence[Any], bar: Task) -> dict[Place, dict[str, Moments]]:
        """Return the sums that the probes of each place and attribute follow from."""
        import torch

        moments: dict[Place, dict[str, Moments]] = {}
        for batch in self._batches(jobs, bar, "fitting probes"):
            values = {grid: self._values(batch, grid) for grid in {layer.grid for layer in self.layers}}
            for key, inputs, grid in self._inputs(batch):
                for kind, of in values[grid].items():
                    here = of >= 0
                    targets = torch.from_numpy(one_hot(of[here], self._count(kind)))
                    rows = torch.from_numpy(np.flatnonzero(here)).to(inputs.device)
                    moments.setdefault(key, {}).setdefault(kind, Moments()).add(inputs[rows], targets)
        return moments

    def _choose(
        self, jobs: Sequence[Any], moments: Mapping[Place, Mapping[str, Moments]], bar: Task
    ) -> dict[tuple[Place, str, str], _Probe]:
        """Return each probe with the ridge that is best on other pictures."""
        tried: dict[tuple[Place, str, str], list[_Probe]] = {}
        for key, of_kind in moments.items():
            for kind, sums in of_kind.items():
                for budget, count in BUDGETS.items():
                    keep = None if count is None else sums.strongest(count)
                    prior = sums.target_means()
                    tried[key, kind, budget] = [_Probe(sums.solve(ridge, keep), prior) for ridge in RIDGES]
        counts = {key: np.zeros((len(RIDGES), 2, self._count(key[1]))) for key in tried}
        for batch in self._batches(jobs, bar, "choosing ridges"):
            values = {grid: self._values(batch, grid) for grid in {layer.grid for layer in self.layers}}
            for key, inputs, grid in self._inputs(batch):
                for kind, of in values[grid].items():
                    for budget in BUDGETS:
                        for number, probe in enumerate(tried[key, kind, budget]):
                            told = _told(probe.said(inputs), of, self._count(kind), 1)
                            counts[key, kind, budget][number] += told[:, 0]
        best = {}
        for name, of_ridge in counts.items():
            recalls = of_ridge[:, 0] / np.maximum(of_ridge[:, 1], 1)
            best[name] = tried[name][int(recalls.sum(1).argmax())]
        return best

    def _probed(
        self, batch: SceneBatch, probes: Mapping[tuple[Place, str, str], _Probe]
    ) -> Iterator[tuple[str, np.ndarray]]:
        """Yield what each probe told right, int32 [2, pictures, values]: right, asked."""
        values = {grid: self._values(batch, grid) for grid in {layer.grid for layer in self.layers}}
        for key, inputs, grid in self._inputs(batch):
            layer, step, way = key
            for kind, of in values[grid].items():
                for budget in BUDGETS:
                    said = probes[key, kind, budget].said(inputs)
                    yield f"{kind}, {budget}|{layer}|{step}|{way}", _told(said, of, self._count(kind), len(batch.jobs))

    def _mapped(self, batch: SceneBatch) -> Iterator[tuple[str, np.ndarray]]:
        """Yield the overlaps of the maps of labels alone, where features are active as everywhere in this project."""
        for one in self.inputs:
            if not one.named:
                continue
            truth = truth_of(self.reader, batch.facts, one.layer.grid)
            for step in self.steps:
                acts = batch.acts[one.layer, step].flatten(0, 1)
                for kind, words in self.attributes.items():
                    holds = one_hot(truth[kind], len(words))
                    for way in SAID:
                        maps = one.maps(acts, step, words, shuffled=way != SAID[0])
                        counts = overlaps(maps, np.full(len(words), ACTIVE_SHARE), holds, len(batch.jobs))
                        yield f"IoU of {kind}, from labels alone|{one.layer.name}|{step}|{way}", counts


def _told(said: np.ndarray, values: np.ndarray, count: int, pictures: int) -> np.ndarray:
    """Count the cells whose value was told right, and those that have it: int32 [2, pictures, count]."""
    asked = one_hot(values, count)
    right = asked & (said == values)[:, None]
    return np.stack([part.reshape(pictures, -1, count).sum(1) for part in (right, asked)]).astype(np.int32)
