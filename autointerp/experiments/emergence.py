"""`emergence`: how early, and in which layer, the finished picture can be read from a model's activations.

The layout is said to be readable before the first step ends (arXiv 2504.15473). Here maps of the finished picture's
concepts are predicted from the activations of each step and layer: by the features whose labels say the concept, and by
linear readouts of codes, of raw activations, and of the model's attention to the words of the prompt (word maps).
Readouts are fitted on some pictures, their thresholds are chosen on others, and the figures are of the rest.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from autointerp.diffusion.words import WordReader
from autointerp.errors import UsageError
from autointerp.experiments.packing import pack, unpack
from autointerp.experiments.prompt_words import PromptWords
from autointerp.experiments.protocol import Figure, PictureRow, Plot, Unit
from autointerp.experiments.readouts import RIDGES, Moments, Readout, Thresholds, best_ridge, one_hot, overlaps
from autointerp.experiments.scene_batches import INPUT, SceneBatch, truth_of
from autointerp.experiments.scene_readouts import FITTED, Place, ReadoutRequest, SceneReadouts
from autointerp.experiments.statistics import mean_ratio

if TYPE_CHECKING:
    import torch
    from PIL import Image

    from autointerp.diffusion.layers import Layer
    from autointerp.progress import Task
    from autointerp.project.context import Context

VERSION = 2
SAID = ("labels", "shuffled labels")
"""Ways that need no fit but a threshold."""
PLACES = "places"
"""The control that knows where objects usually are, and looks at nothing."""
WORDS, PROMPT_WORDS = "words", "prompt words"
"""The readout of word maps, and its control that knows the words of the prompt, and looks at nothing."""
SHOWN = "shown"
"""Key of a unit's result: the maps that the report shows, bool [pictures, steps, cells]."""
SHOWN_PICTURES = 4


class Emergence(SceneReadouts):
    """The experiment `emergence`; see the module.

    Args:
        ctx: The command's view of the workspace.
        request: What is read.
    """

    kind = "emergence"
    version = VERSION
    controls = frozenset(("random", "shuffled labels", PLACES, PROMPT_WORDS, INPUT))

    def __init__(self, ctx: Context, request: ReadoutRequest) -> None:
        super().__init__(ctx, request)
        self.title = f"At which step and layer of {self.at.settings.model} can the finished picture be read?"
        self.concepts = [(kind, word) for kind, words in self.attributes.items() for word in words]
        prompts = [job.prompt for job in self._jobs()[:FITTED]]
        self.words: PromptWords | None = None
        try:
            reader = WordReader(self.at.description, self.at.generation.max_sequence_length)
        except UsageError as error:
            ctx.progress.note(f"{WORDS} is left out: {error.message}")
        else:
            self.words = PromptWords(reader, prompts)

    @classmethod
    def plan(cls, ctx: Context, options: Mapping[str, Any]) -> Emergence:
        """Make the experiment of its options.

        Raises:
            UsageError: The model or a layer does not exist, or nothing is known of what is true of its pictures.
            AutointerpError: A layer has no dictionary yet.
        """
        return cls(ctx, ReadoutRequest.of(ctx, options))

    def configuration(self) -> dict[str, Any]:
        """Return everything that decides the figures."""
        return {**super().configuration(), WORDS: self.words is not None}

    def word_reader(self) -> WordReader | None:
        """Return what finds the words of prompts; None where it is not known where the model attends to them."""
        return None if self.words is None else self.words.reader

    def measure(self, units: Sequence[Unit], bar: Task) -> Iterator[tuple[Unit, dict[str, Any]]]:
        """Fit the readouts, choose thresholds, and measure the units."""
        if not units:
            return
        moments, places = self._fit(bar)
        readouts, thresholds = self._choose(moments, places, bar)
        bar.advance(0, "measuring")
        for unit in units:
            found: dict[str, list[np.ndarray]] = {}
            shown: dict[int, list[np.ndarray]] = {step: [] for step in self._shown_steps}
            for batch in self.measured(unit.about["start"], unit.about["stop"]):
                for key, scores, truth in self._scored(batch, readouts, places):
                    counts = overlaps(scores, thresholds[key], truth, len(batch.jobs))
                    found.setdefault("|".join(map(str, key)), []).append(counts)
                    if key[0] == self._middle.name and key[2] == "codes" and key[1] in shown:
                        on = scores[:, 0].cpu().numpy() >= thresholds[key][0]
                        shown[key[1]].append(on.reshape(len(batch.jobs), -1))
            packed = {key: pack(np.concatenate(parts, 1)) for key, parts in found.items()}
            if not unit.about["start"]:
                # Kept with the figures, so that the report needs no readout: to fit one takes 160 pictures.
                maps = np.stack([np.concatenate(parts)[:SHOWN_PICTURES] for parts in shown.values()], 1)
                packed[SHOWN] = pack(maps)
            yield unit, packed

    def figures(self, results: Mapping[str, Mapping[str, Any]]) -> list[Figure]:
        """Compute the IoU of each kind of concept, by layer, step and way."""
        parts = [results[unit.key] for unit in self.units()]
        figures = []
        for kind in self.attributes:
            among = [number for number, (of, _) in enumerate(self.concepts) if of == kind]
            for key in parts[0]:
                if key == SHOWN:
                    continue
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
            name, shown = f"IoU of {kind}", self._middle
            wanted = [(layer.name, way) for layer in self.layers for way in ("codes", "labels")]
            wanted += [(shown.name, "raw"), (shown.name, WORDS), (INPUT, INPUT), (INPUT, PLACES), (INPUT, PROMPT_WORDS)]
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
        from autointerp.crops.panel import Panel

        found = [result[SHOWN] for result in results.values() if SHOWN in result]
        if not found:
            return []
        maps = unpack(found[0]).astype(bool)
        maps = maps.reshape(*maps.shape[:2], *self._middle.grid)
        shown = [
            (job, picture)
            for batch in self.measured(0, SHOWN_PICTURES)
            for job, picture in zip(batch.jobs, batch.pictures, strict=True)
        ]
        rows = []
        for (job, picture), of in zip(shown, maps, strict=True):
            pairs = zip(self._shown_steps, of, strict=True)
            panels = [Panel(f"step {step}", _masked(picture, mask)) for step, mask in pairs]
            line = f"{job.prompt} (objects, {self._middle.name})"
            rows.append(PictureRow(line, [*panels, Panel("finished", picture)]))
        return rows

    @property
    def _middle(self) -> Layer:
        """The layer that plots and pictures show most of."""
        return self.layers[len(self.layers) // 2]

    @property
    def _shown_steps(self) -> list[int]:
        """The steps of which the report shows maps."""
        last = self.steps[-1]
        return sorted({0, 1, last // 4, last // 2, last} & set(self.steps))

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
        if self.words is None:
            return
        for (layer, step), maps in batch.words.items():
            yield (layer.name, step, WORDS), self.words.attended(maps, layer.grid), layer.grid
        grid = self.layers[0].grid
        said = self.words.said([job.prompt for job in batch.jobs], grid[0] * grid[1])
        for step in self.steps:
            yield (INPUT, step, PROMPT_WORDS), said, grid

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
