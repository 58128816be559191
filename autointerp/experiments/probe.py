"""`probe`: what linear probes of equal budgets read from a layer's activations, its codes and its neurons.

Diffusion models are said to hold their best linear features in the middle of the network, at moderate noise
(arXiv 2303.09769). A probe tells the values of one attribute apart, such as the colours, in the cells that have the
attribute. Every way gets the same cells, and as many inputs as it likes, or its best few. Beside it stand the maps that
labels alone give, without any fit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from autointerp.crops.records import ACTIVE_SHARE
from autointerp.diffusion.layers import neurons_of
from autointerp.errors import AutointerpError, UsageError
from autointerp.experiments.packing import pack, unpack
from autointerp.experiments.protocol import Figure, PictureRow, Plot, Unit
from autointerp.experiments.readouts import RIDGES, Moments, Readout, one_hot, overlaps
from autointerp.experiments.scene_batches import INPUT, SceneBatch, truth_of
from autointerp.experiments.scene_readouts import Place, ReadoutRequest, SceneReadouts
from autointerp.experiments.statistics import mean_ratio

if TYPE_CHECKING:
    import torch

    from autointerp.diffusion.layers import Layer
    from autointerp.progress import Task
    from autointerp.project.context import Context

VERSION = 1
BUDGETS = {"all inputs": None, "best 32 inputs": 32, "best 8 inputs": 8}
"""How many inputs a probe may use, by name; those that say most about the attribute one by one."""
SAID = ("labels", "shuffled labels")


@dataclass(frozen=True)
class _Probe:
    """A readout of an attribute, and how often each value holds in the cells that it was fitted on."""

    readout: Readout
    prior: np.ndarray

    def said(self, inputs: torch.Tensor) -> np.ndarray:
        """Return the number of the value that each cell most speaks for, beyond how frequent the value is."""
        scores = self.readout.scores(inputs).cpu().numpy() / np.maximum(self.prior, 1e-6)
        return np.asarray(scores.argmax(1))


class Probe(SceneReadouts):
    """The experiment `probe`; see the module.

    Args:
        ctx: The command's view of the workspace.
        request: What is read.
    """

    kind = "probe"
    version = VERSION
    controls = frozenset(("random", INPUT, "shuffled labels"))

    def __init__(self, ctx: Context, request: ReadoutRequest) -> None:
        super().__init__(ctx, request)
        self.title = f"What can be read from {self.at.settings.model} by linear probes of equal budgets?"
        self.hidden: dict[str, Layer] = {}
        for layer in self.layers:
            try:
                self.hidden[layer.name] = neurons_of(self.at.description, layer)
            except AutointerpError as error:
                ctx.progress.note(f"no neurons of {layer.name}: {error.message}")

    @classmethod
    def plan(cls, ctx: Context, options: Mapping[str, Any]) -> Probe:
        """Make the experiment of its options.

        Raises:
            UsageError: The model, a layer or a step does not exist, or what is true of its pictures is not known.
            AutointerpError: A layer has no dictionary yet.
        """
        request = ReadoutRequest.of(ctx, options)
        total = len(request.steps)
        steps = sorted({int(step) for step in options["steps"]}) or list(range(total))
        if not 0 <= steps[0] <= steps[-1] < total:
            raise UsageError(f"step {steps[-1]} is not among the {total} steps", f"give numbers from 0 to {total - 1}")
        return cls(ctx, replace(request, steps=steps))

    def configuration(self) -> dict[str, Any]:
        """Return everything that decides the figures."""
        return {**super().configuration(), "steps": self.steps}

    def also_read(self) -> list[Layer]:
        """Return the hidden units of the layers."""
        return list(self.hidden.values())

    def measure(self, units: Sequence[Unit], bar: Task) -> Iterator[tuple[Unit, dict[str, Any]]]:
        """Fit the probes, choose their ridges, and measure the units."""
        if not units:
            return
        probes = self._choose(self._fit(bar), bar)
        bar.advance(0, "measuring")
        for unit in units:
            found: dict[str, list[np.ndarray]] = {}
            for batch in self.measured(unit.about["start"], unit.about["stop"]):
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
            figures.append(Figure(name, f"{layer}, step {step}", way, *value, control=way in self.controls))
        return sorted(figures, key=lambda figure: self._order(figure.name))

    def plots(self, figures: Sequence[Figure]) -> list[Plot]:
        """Draw what probes of all inputs, and of the best few, read at each step."""
        plots = []
        for budget in ("all inputs", "best 8 inputs"):
            for kind in self.attributes:
                name = f"{kind}, {budget}"
                middle = self.layers[len(self.layers) // 2]
                wanted = [(layer.name, way) for layer in self.layers for way in ("raw", "codes")]
                wanted += [(middle.name, "neurons"), (middle.name, "random"), (INPUT, INPUT)]
                lines = [
                    self.line(
                        "noise and picture, no model" if layer == INPUT else f"{way}, {layer}",
                        figures,
                        name,
                        layer,
                        way,
                    )
                    for layer, way in wanted
                ]
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

    def _inputs(self, batch: SceneBatch) -> Iterator[tuple[Place, torch.Tensor, tuple[int, int]]]:
        """Yield what each probe gets, with its place and the grid."""
        for one in self.inputs:
            name, grid = one.layer.name, one.layer.grid
            for step in self.steps:
                yield from self.layer_inputs(batch, one, step)
                if name in self.hidden:
                    yield (name, step, "neurons"), batch.acts[self.hidden[name], step].flatten(0, 1), grid
        for step, raw in batch.inputs.items():
            yield (INPUT, step, INPUT), raw.flatten(0, 1), self.layers[0].grid

    def _values(self, batch: SceneBatch, grid: tuple[int, int]) -> dict[str, np.ndarray]:
        """Return the value of each attribute in each cell, int64 [cells of all pictures]; -1 where it has none."""
        found = {kind: values.reshape(-1) for kind, values in truth_of(self.reader, batch.facts, grid).items()}
        for kind, words in self.attributes.items():
            if len(words) == 1:
                # Cells without an object are the other value, so that objects are told from something.
                found[kind] = np.where(found[kind] < 0, 1, 0)
        return found

    def _count(self, kind: str) -> int:
        return max(len(self.attributes[kind]), 2)

    def _fit(self, bar: Task) -> dict[Place, dict[str, Moments]]:
        """Return the sums that the probes of each place and attribute follow from."""
        import torch

        moments: dict[Place, dict[str, Moments]] = {}
        for batch in self.fitting(bar):
            values = {grid: self._values(batch, grid) for grid in {layer.grid for layer in self.layers}}
            for key, inputs, grid in self._inputs(batch):
                for kind, of in values[grid].items():
                    here = of >= 0
                    targets = torch.from_numpy(one_hot(of[here], self._count(kind)))
                    rows = torch.from_numpy(np.flatnonzero(here)).to(inputs.device)
                    moments.setdefault(key, {}).setdefault(kind, Moments()).add(inputs[rows], targets)
        return moments

    def _choose(
        self, moments: Mapping[Place, Mapping[str, Moments]], bar: Task
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
        for batch in self.choosing(bar):
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
