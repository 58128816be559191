"""`emergence`: how early, and in which layer, the finished picture can be read from a model's activations.

The layout is said to be readable before the first step ends (arXiv 2504.15473). Here maps of the finished picture's
concepts are predicted from the activations of each step and layer: by the features whose labels say the concept, and by
linear readouts of codes and of raw activations. Readouts are fitted on some pictures, their thresholds are chosen on
others, and the figures are of the rest.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from autointerp.experiments.layer_inputs import LayerInputs, configured, layers_with_dictionaries
from autointerp.experiments.packing import pack, unpack
from autointerp.experiments.protocol import Cost, Figure, PictureRow, Plot, PlotLine, Unit
from autointerp.experiments.readouts import RIDGES, Moments, Readout, Thresholds, best_ridge, one_hot, overlaps
from autointerp.experiments.scene_batches import (
    INPUT,
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
    from PIL import Image

    from autointerp.progress import Task
    from autointerp.worlds import SceneReader

VERSION = 1
FITTED, CHOSEN = 100, 60
"""Pictures that readouts are fitted on, and that their ridge and thresholds are chosen on; neither is measured."""
READ = ("raw", "codes", "random")
"""Ways that are linear readouts."""
SAID = ("labels", "shuffled labels")
"""Ways that need no fit but a threshold."""
PLACES = "places"
"""The control that knows where objects usually are, and looks at nothing."""
CONTROLS = frozenset(("random", "shuffled labels", PLACES, INPUT))
REFERENCE_CELLS = 4096

Way = tuple[str, int, str]
"""The name of a layer, or `input`; a step; and how the layer is read there."""


class Emergence:
    """The experiment `emergence`; see the module.

    Args:
        ctx: The command's view of the workspace.
        at: The context of the model and the steps that are read.
        inputs: The layers with their dictionaries.
        images: Pictures that are measured.
    """

    kind = "emergence"

    def __init__(self, ctx: Context, at: Context, inputs: Sequence[LayerInputs], images: int) -> None:
        self.ctx, self.at, self.inputs, self.images = ctx, at, list(inputs), images
        self.steps = list(range(at.generation.steps))
        self.layers = [one.layer for one in self.inputs]
        self.title = f"At which step and layer of {at.settings.model} can the finished picture be read?"
        # Refused here, before anything is generated.
        self.reader: SceneReader = scene_reader(at, self.layers)
        self.attributes = attributes_of(self.reader)
        self.concepts = [(kind, word) for kind, words in self.attributes.items() for word in words]

    @classmethod
    def plan(cls, ctx: Context, options: Mapping[str, Any]) -> Emergence:
        """Make the experiment of its options.

        Raises:
            UsageError: The model or a layer does not exist, or nothing is known of what is true of its pictures.
            AutointerpError: A layer has no dictionary yet.
        """
        at = Condition.parse(options["at"]).context(ctx) if options["at"] else ctx
        return cls(ctx, at, layers_with_dictionaries(ctx, at, options["layers"]), options["images"])

    def configuration(self) -> dict[str, Any]:
        """Return everything that decides the figures."""
        about = self.at.description
        return {
            "version": VERSION,
            "read": {"model": about.name, "revision": about.revision, "generation": asdict(self.at.generation)},
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
        """Return what it takes to measure these units; readouts are fitted anew after a stop."""
        images = sum(unit.images for unit in units)
        return painting_cost(self.at, images + (FITTED + CHOSEN if units else 0), len(self.steps))

    def measure(self, units: Sequence[Unit], bar: Task) -> Iterator[tuple[Unit, dict[str, Any]]]:
        """Fit the readouts, choose thresholds, and measure the units."""
        if not units:
            return
        jobs = self._jobs()
        moments, places = self._fit(jobs[:FITTED], bar)
        readouts, thresholds = self._choose(jobs[FITTED : FITTED + CHOSEN], moments, places, bar)
        bar.advance(0, "measuring")
        for unit in units:
            start, stop = (FITTED + CHOSEN + unit.about[end] for end in ("start", "stop"))
            found: dict[str, list[np.ndarray]] = {}
            for batch in self._batches(jobs[start:stop]):
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
                figures.append(Figure(f"IoU of {kind}", f"{layer}, step {step}", way, *value, control=way in CONTROLS))
        return figures

    def plots(self, figures: Sequence[Figure]) -> list[Plot]:
        """Draw the IoU of each kind over the steps, a line for each layer and way that matters."""
        plots = []
        for kind in self.attributes:
            name = f"IoU of {kind}"
            lines = [self._line(name, figures, layer.name, way) for layer in self.layers for way in ("codes", "labels")]
            raw = [self._line(name, figures, layer.name, "raw") for layer in self.layers[len(self.layers) // 2 :][:1]]
            controls = [self._line(name, figures, INPUT, INPUT), self._line(name, figures, INPUT, PLACES)]
            # A layer without labels has no such line.
            shown = [line for line in (*lines, *raw, *controls) if any(value is not None for value in line.values)]
            plots.append(Plot(kind, "step", "IoU with the finished picture", shown))
        return plots

    def pictures(self, results: Mapping[str, Mapping[str, Any]]) -> list[PictureRow]:
        """Show what the middle layer's codes say of the objects of some pictures, at a few steps."""
        del results
        from autointerp.crops.panel import Panel

        jobs = self._jobs()
        moments, places = self._fit(jobs[:FITTED])
        readouts, thresholds = self._choose(jobs[FITTED : FITTED + CHOSEN], moments, places)
        layer = self.layers[len(self.layers) // 2]
        last = self.steps[-1]
        shown = sorted({0, 1, last // 4, last // 2, last} & set(self.steps))
        rows = []
        for batch in self._batches(jobs[FITTED + CHOSEN :][:4]):
            maps = {}
            for key, scores, _ in self._scored(batch, readouts, places):
                if key[0] == layer.name and key[2] == "codes" and key[1] in shown:
                    on = scores[:, 0].cpu().numpy() >= thresholds[key][0]
                    maps[key[1]] = on.reshape(len(batch.jobs), *layer.grid)
            for i, (job, picture) in enumerate(zip(batch.jobs, batch.pictures, strict=True)):
                panels = [Panel(f"step {step}", _masked(picture, maps[step][i])) for step in shown]
                rows.append(PictureRow(f"{job.prompt} (objects, {layer.name})", [*panels, Panel("finished", picture)]))
        return rows

    def _line(self, name: str, figures: Sequence[Figure], layer: str, way: str) -> PlotLine:
        at = {figure.group: figure for figure in figures if figure.name == name and figure.way == way}
        own = [at.get(f"{layer}, step {step}") for step in self.steps]
        label = way if layer == INPUT else f"{way}, {layer}"
        values, low, high = (
            [getattr(one, part) if one is not None else None for one in own] for part in ("value", "low", "high")
        )
        return PlotLine(label, [float(step) for step in self.steps], values, low, high, way in CONTROLS)

    def _jobs(self) -> list[Any]:
        return pictures_of(self.at, FITTED + CHOSEN + self.images)

    def _batches(self, jobs: Sequence[Any], bar: Task | None = None, what: str = "") -> Iterator[SceneBatch]:
        """Yield pictures with their activations; pictures that are not measured are counted behind the bar."""
        seen = 0
        for batch in scene_batches(self.at, self.reader, jobs, self.layers, self.steps, with_input=True):
            yield batch
            seen += len(batch.jobs)
            if bar is not None:
                bar.advance(0, f"{what}: {seen}/{len(jobs)} images")

    def _truths(self, batch: SceneBatch) -> dict[tuple[int, int], np.ndarray]:
        """Return where each concept holds on each layer's grid, bool [cells of all pictures, concepts]."""
        truths = {}
        for grid in dict.fromkeys(layer.grid for layer in self.layers):
            found = truth_of(self.reader, batch.facts, grid)
            holds = [one_hot(found[kind], len(words)) for kind, words in self.attributes.items()]
            truths[grid] = np.concatenate(holds, 1)
        return truths

    def _inputs(self, batch: SceneBatch) -> Iterator[tuple[Way, torch.Tensor, tuple[int, int]]]:
        """Yield what each linear readout gets, with (layer, step, way) and the grid."""
        for one in self.inputs:
            for step in self.steps:
                acts = batch.acts[one.layer, step].flatten(0, 1)
                if one.control is None:
                    one.set_control(acts[:REFERENCE_CELLS], self.ctx.settings.seed)
                yield (one.layer.name, step, "raw"), acts, one.layer.grid
                yield (one.layer.name, step, "codes"), one.codes(acts, step), one.layer.grid
                yield (one.layer.name, step, "random"), one.random_codes(acts, step), one.layer.grid
        for step, raw in batch.inputs.items():
            yield (INPUT, step, INPUT), raw.flatten(0, 1), self.layers[0].grid

    def _fit(self, jobs: Sequence[Any], bar: Task | None = None) -> tuple[dict[Way, Moments], np.ndarray]:
        """Return the sums of all readouts, and how often each concept holds in each cell, [cells, concepts]."""
        import torch

        moments: dict[Way, Moments] = {}
        places, count = np.zeros(()), 0
        for batch in self._batches(jobs, bar, "fitting readouts"):
            truths = self._truths(batch)
            for key, inputs, grid in self._inputs(batch):
                moments.setdefault(key, Moments()).add(inputs, torch.from_numpy(truths[grid]))
            first = truths[self.layers[0].grid]
            places = places + first.reshape(len(batch.jobs), -1, first.shape[1]).sum(0)
            count += len(batch.jobs)
        return moments, places / max(count, 1)

    def _choose(
        self, jobs: Sequence[Any], moments: Mapping[Way, Moments], places: np.ndarray, bar: Task | None = None
    ) -> tuple[dict[Way, Readout], dict[Way, np.ndarray]]:
        """Return the readouts of the best ridges, and all thresholds."""
        tried = {key: [of.solve(ridge) for ridge in RIDGES] for key, of in moments.items()}
        counts: dict[Way, list[Thresholds]] = {}

        def count(key: Way, number: int, scores: torch.Tensor, truth: np.ndarray) -> None:
            found = counts.setdefault(key, [])
            if len(found) <= number:
                found.append(Thresholds(truth.shape[1]))
            found[number].add(scores, truth)

        for batch in self._batches(jobs, bar, "choosing thresholds"):
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
        readouts: Mapping[Way, Readout],
        places: np.ndarray,
    ) -> Iterator[tuple[Way, torch.Tensor, np.ndarray]]:
        """Yield each way's scores of all concepts in a batch, and the truth."""
        truths = self._truths(batch)
        for key, inputs, grid in self._inputs(batch):
            yield key, readouts[key].scores(inputs), truths[grid]
        yield from self._said(batch, places, truths)

    def _said(
        self, batch: SceneBatch, places: np.ndarray, truths: Mapping[tuple[int, int], np.ndarray]
    ) -> Iterator[tuple[Way, torch.Tensor, np.ndarray]]:
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
