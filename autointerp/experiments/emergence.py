"""`emergence`: how early, and in which layer, the finished picture can be read from a model's activations.

The layout is said to be readable before the first step ends (arXiv 2504.15473). Here maps of the finished picture's
concepts are predicted from the activations of each step and layer: by the features whose labels say the concept, and by
linear readouts of codes and of raw activations. Readouts are fitted on some pictures, their thresholds are chosen on
others, and the figures are of the rest.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from autointerp.experiments.packing import pack, unpack
from autointerp.experiments.protocol import Figure, PictureRow, Plot, Unit
from autointerp.experiments.readouts import RIDGES, Moments, Readout, Thresholds, best_ridge, one_hot, overlaps
from autointerp.experiments.scene_batches import INPUT, SceneBatch, truth_of
from autointerp.experiments.scene_readouts import Place, ReadoutRequest, SceneReadouts
from autointerp.experiments.statistics import mean_ratio

if TYPE_CHECKING:
    import torch
    from PIL import Image

    from autointerp.progress import Task
    from autointerp.project.context import Context

VERSION = 1
SAID = ("labels", "shuffled labels")
"""Ways that need no fit but a threshold."""
PLACES = "places"
"""The control that knows where objects usually are, and looks at nothing."""


class Emergence(SceneReadouts):
    """The experiment `emergence`; see the module.

    Args:
        ctx: The command's view of the workspace.
        request: What is read.
    """

    kind = "emergence"
    version = VERSION
    controls = frozenset(("random", "shuffled labels", PLACES, INPUT))

    def __init__(self, ctx: Context, request: ReadoutRequest) -> None:
        super().__init__(ctx, request)
        self.title = f"At which step and layer of {self.at.settings.model} can the finished picture be read?"
        self.concepts = [(kind, word) for kind, words in self.attributes.items() for word in words]

    @classmethod
    def plan(cls, ctx: Context, options: Mapping[str, Any]) -> Emergence:
        """Make the experiment of its options.

        Raises:
            UsageError: The model or a layer does not exist, or nothing is known of what is true of its pictures.
            AutointerpError: A layer has no dictionary yet.
        """
        return cls(ctx, ReadoutRequest.of(ctx, options))

    def measure(self, units: Sequence[Unit], bar: Task) -> Iterator[tuple[Unit, dict[str, Any]]]:
        """Fit the readouts, choose thresholds, and measure the units."""
        if not units:
            return
        moments, places = self._fit(bar)
        readouts, thresholds = self._choose(moments, places, bar)
        bar.advance(0, "measuring")
        for unit in units:
            found: dict[str, list[np.ndarray]] = {}
            for batch in self.measured(unit.about["start"], unit.about["stop"]):
                for key, scores, truth in self._scored(batch, readouts, places):
                    counts = overlaps(scores, thresholds[key], truth, len(batch.jobs))
                    found.setdefault("|".join(map(str, key)), []).append(counts)
            yield unit, {key: pack(np.concatenate(parts, 1)) for key, parts in found.items()}

    def figures(self, results: Mapping[str, Mapping[str, Any]]) -> list[Figure]:
        """Compute the IoU of each kind of concept, by layer, step and way."""
        parts = [results[unit.key] for unit in self.units()]
        figures = []
        for kind in self.attributes:
            among = [number for number, (of, _) in enumerate(self.concepts) if of == kind]
            for key in parts[0]:
                layer, step, way = key.split("|")
                both, either = np.concatenate([unpack(part[key]) for part in parts], 1)[:, :, among]
                value = mean_ratio(both, either)
                figures.append(
                    Figure(f"IoU of {kind}", f"{layer}, step {step}", way, *value, control=way in self.controls)
                )
        return figures

    def plots(self, figures: Sequence[Figure]) -> list[Plot]:
        """Draw the IoU of each kind over the steps, a line for each layer and way that matters."""
        plots = []
        for kind in self.attributes:
            name, shown = f"IoU of {kind}", self.layers[len(self.layers) // 2]
            wanted = [(layer.name, way) for layer in self.layers for way in ("codes", "labels")]
            wanted += [(shown.name, "raw"), (INPUT, INPUT), (INPUT, PLACES)]
            lines = [
                self.line(way if layer == INPUT else f"{way}, {layer}", figures, name, layer, way)
                for layer, way in wanted
            ]
            # A layer without labels has no such line.
            drawn = [line for line in lines if line is not None]
            plots.append(Plot(kind, "step", "IoU with the finished picture", drawn))
        return plots

    def pictures(self, results: Mapping[str, Mapping[str, Any]]) -> list[PictureRow]:
        """Show what the middle layer's codes say of the objects of some pictures, at a few steps."""
        del results
        from autointerp.crops.panel import Panel

        moments, places = self._fit()
        readouts, thresholds = self._choose(moments, places)
        layer = self.layers[len(self.layers) // 2]
        last = self.steps[-1]
        shown = sorted({0, 1, last // 4, last // 2, last} & set(self.steps))
        rows = []
        for batch in self.measured(0, 4):
            maps = {}
            for key, scores, _ in self._scored(batch, readouts, places):
                if key[0] == layer.name and key[2] == "codes" and key[1] in shown:
                    on = scores[:, 0].cpu().numpy() >= thresholds[key][0]
                    maps[key[1]] = on.reshape(len(batch.jobs), *layer.grid)
            for i, (job, picture) in enumerate(zip(batch.jobs, batch.pictures, strict=True)):
                panels = [Panel(f"step {step}", _masked(picture, maps[step][i])) for step in shown]
                rows.append(PictureRow(f"{job.prompt} (objects, {layer.name})", [*panels, Panel("finished", picture)]))
        return rows

    def _truths(self, batch: SceneBatch) -> dict[tuple[int, int], np.ndarray]:
        """Return where each concept holds on each layer's grid, bool [cells of all pictures, concepts]."""
        truths = {}
        for grid in dict.fromkeys(layer.grid for layer in self.layers):
            found = truth_of(self.reader, batch.facts, grid)
            holds = [one_hot(found[kind], len(words)) for kind, words in self.attributes.items()]
            truths[grid] = np.concatenate(holds, 1)
        return truths

    def _inputs(self, batch: SceneBatch) -> Iterator[tuple[Place, torch.Tensor, tuple[int, int]]]:
        """Yield what each linear readout gets, with its place and the grid."""
        for one in self.inputs:
            for step in self.steps:
                yield from self.layer_inputs(batch, one, step)
        for step, raw in batch.inputs.items():
            yield (INPUT, step, INPUT), raw.flatten(0, 1), self.layers[0].grid

    def _fit(self, bar: Task | None = None) -> tuple[dict[Place, Moments], np.ndarray]:
        """Return the sums of all readouts, and how often each concept holds in each cell, [cells, concepts]."""
        import torch

        moments: dict[Place, Moments] = {}
        places, count = np.zeros(()), 0
        for batch in self.fitting(bar):
            truths = self._truths(batch)
            for key, inputs, grid in self._inputs(batch):
                moments.setdefault(key, Moments()).add(inputs, torch.from_numpy(truths[grid]))
            first = truths[self.layers[0].grid]
            places = places + first.reshape(len(batch.jobs), -1, first.shape[1]).sum(0)
            count += len(batch.jobs)
        return moments, places / max(count, 1)

    def _choose(
        self, moments: Mapping[Place, Moments], places: np.ndarray, bar: Task | None = None
    ) -> tuple[dict[Place, Readout], dict[Place, np.ndarray]]:
        """Return the readouts of the best ridges, and all thresholds."""
        tried = {key: [of.solve(ridge) for ridge in RIDGES] for key, of in moments.items()}
        counts: dict[Place, list[Thresholds]] = {}

        def count(key: Place, number: int, scores: torch.Tensor, truth: np.ndarray) -> None:
            found = counts.setdefault(key, [])
            if len(found) <= number:
                found.append(Thresholds(truth.shape[1]))
            found[number].add(scores, truth)

        for batch in self.choosing(bar):
            truths = self._truths(batch)
            for key, inputs, grid in self._inputs(batch):
                for number, readout in enumerate(tried[key]):
                    count(key, number, readout.scores(inputs), truths[grid])
            for key, scores, truth in self._said(batch, places, truths):
                count(key, 0, scores, truth)
        best = {key: best_ridge(of, slice(None)) for key, of in counts.items()}
        chosen = {key: of[best[key]] for key, of in tried.items()}
        return chosen, {key: of[best[key]].best()[0] for key, of in counts.items()}

    def _scored(
        self,
        batch: SceneBatch,
        readouts: Mapping[Place, Readout],
        places: np.ndarray,
    ) -> Iterator[tuple[Place, torch.Tensor, np.ndarray]]:
        """Yield each way's scores of all concepts in a batch, and the truth."""
        truths = self._truths(batch)
        for key, inputs, grid in self._inputs(batch):
            yield key, readouts[key].scores(inputs), truths[grid]
        yield from self._said(batch, places, truths)

    def _said(
        self, batch: SceneBatch, places: np.ndarray, truths: Mapping[tuple[int, int], np.ndarray]
    ) -> Iterator[tuple[Place, torch.Tensor, np.ndarray]]:
        """Yield the scores of the ways that need no readout."""
        import torch

        words = [word for _, word in self.concepts]
        for one in self.inputs:
            if not one.named:
                continue
            for step in self.steps:
                acts = batch.acts[one.layer, step].flatten(0, 1)
                for way in SAID:
                    maps = one.maps(acts, step, words, shuffled=way != SAID[0])
                    # A share of 0 must lie below every threshold.
                    yield (one.layer.name, step, way), torch.where(maps > 0, maps, -1.0), truths[one.layer.grid]
        guess = torch.from_numpy(np.tile(places, (len(batch.jobs), 1)))
        for step in self.steps:
            yield (INPUT, step, PLACES), guess, truths[self.layers[0].grid]


def _masked(picture: Image.Image, mask: np.ndarray) -> Image.Image:
    """Return a picture in which the cells outside of a mask are dimmed."""
    from PIL import Image as Images

    plain = picture.convert("RGB")
    over = Images.fromarray((mask * 255).astype(np.uint8)).resize(plain.size, Images.Resampling.NEAREST)
    return Images.composite(plain, Images.blend(plain, Images.new("RGB", plain.size, (20, 20, 28)), 0.8), over)
