"""`models`: one dictionary on two models, and which of its features fire more, less or newly on the other one.

A model may stand beside the same with a LoRA, a fine-tune, or its base. Both generate the same prompts from the same
seeds, so pictures come in pairs. A feature is said to differ only if it does so with all features in mind: signs of the
pairs' differences are flipped at random (`sign_flips`), which is what swapped pictures would give. How many features
differ each by itself stands beside how many do so after such swaps, as the control.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from autointerp.errors import UsageError
from autointerp.experiments.model_readings import FiringMaps, ModelReading, ReadPictures
from autointerp.experiments.model_sides import ModelSide, sides_of
from autointerp.experiments.protocol import Cost, Figure, PictureRow, Plot, PlotLine, Unit
from autointerp.experiments.sign_flips import SignFlips, flip_signs, paired_ratios
from autointerp.experiments.statistics import ratio
from autointerp.experiments.subjects import added, batches_of, captured, loaded, painting_cost, pictures_of
from autointerp.views.compared_models import (
    ALONE,
    CHANCE,
    CHANGES,
    DIFFER,
    DIFFERENCE,
    FOUND,
    KIND,
    SWAPPED,
    change_figure,
)

if TYPE_CHECKING:
    from PIL import Image

    from autointerp.db.models import DictionaryRow
    from autointerp.progress import Task
    from autointerp.project.context import Context

VERSION = 1
LEAST = 8
"""Pictures below which no feature can differ surely: so few pairs have too few ways of being swapped."""
LISTED = 50
"""Features of each change that get figures, those that differ most."""
SHOWN = 4
"""Features of each change that the report shows in pictures."""
DRAWN = 10
"""Features of each change that the plot shows."""
EVERYWHERE = "all cells"
"""The group of figures of the whole layer."""


class ModelsExperiment:
    """The experiment `models`; see the module.

    Args:
        ctx: The command's view of the workspace.
        row: The dictionary.
        sides: The workspace's model and the other one.
        images: Pictures of each.
    """

    kind = KIND

    def __init__(self, ctx: Context, row: DictionaryRow, sides: tuple[ModelSide, ModelSide], images: int) -> None:
        self.ctx, self.row, self.sides, self.images = ctx, row, sides, images
        home, other = sides
        self.title = f"Which features of {row.name} fire otherwise on {other.name} than on {home.name}?"

    @classmethod
    def plan(cls, ctx: Context, options: Mapping[str, Any]) -> ModelsExperiment:
        """Make the experiment of its options.

        Raises:
            UsageError: There is no such dictionary, the models do not differ, or there are too few pictures.
        """
        if options["images"] < LEAST:
            raise UsageError(
                f"of {options['images']} pictures no feature can differ surely", f"compare at least {LEAST}: --images"
            )
        row = ctx.dictionary_named(options["dictionary"])
        if row.stream != "image":
            raise UsageError(f"{row.name} reads text tokens", "name a dictionary of image tokens")
        return cls(ctx, row, sides_of(ctx, row, options), options["images"])

    def configuration(self) -> dict[str, Any]:
        """Return everything that decides the figures."""
        return {
            "version": VERSION,
            "dictionary": self.row.name,
            "weights": self.row.weights_sha256,
            "hookpoint": self.row.hookpoint,
            "models": [side.configuration() for side in self.sides],
            "images": self.images,
            "prompts": self.ctx.prompts.identity,
            "seed": self.ctx.settings.seed,
        }

    def units(self) -> list[Unit]:
        """Return the pictures of each model in batches."""
        count = len(self._jobs)
        return [
            unit for number, side in enumerate(self.sides) for unit in batches_of(f"{side.name}, ", count, side=number)
        ]

    def cost(self, units: Sequence[Unit]) -> Cost:
        """Return what it takes to measure these units."""
        images = [sum(unit.images for unit in units if unit.about["side"] == number) for number in range(2)]
        costs = (
            painting_cost(side.ctx, count, side.ctx.generation.steps)
            for side, count in zip(self.sides, images, strict=True)
        )
        return added(list(costs))

    def measure(self, units: Sequence[Unit], bar: Task) -> Iterator[tuple[Unit, dict[str, Any]]]:
        """Measure units, model by model. One model is in memory at a time."""
        for number, side in enumerate(self.sides):
            own = [unit for unit in units if unit.about["side"] == number]
            if not own:
                continue
            bar.advance(0, side.name)
            dictionary = loaded(self.ctx, self.row, side.ctx.model.device)
            for unit in own:
                batch = self._jobs[unit.about["start"] : unit.about["stop"]]
                reading = ModelReading(dictionary, side.told)
                for _ in captured(side.ctx, batch, [side.layer], list(side.told), reading.consume, decode=False):
                    pass
                yield unit, reading.result([job.index for job in batch])
            self._let_go(side)

    def figures(self, results: Mapping[str, Mapping[str, Any]]) -> list[Figure]:
        """Compute all figures: of the whole layer, the numbers of features that differ, and those features."""
        found = self._compared(results)
        figures = []
        for side, read in zip(self.sides, found.read, strict=True):
            l0 = ratio(read.fired.sum(1), read.cells)
            figures.append(Figure("fvu", EVERYWHERE, side.name, *ratio(read.error, read.variance)))
            figures.append(Figure("l0", EVERYWHERE, side.name, *l0))
        for change in CHANGES:
            count = float(len(found.latents[change]))
            figures.append(Figure(DIFFER, change, FOUND, count, n=len(self._jobs)))
        for change, rising in zip(CHANGES[:2], (True, False), strict=True):
            count = float((found.flips.alone & (found.flips.rises == rising)).sum())
            figures.append(Figure(ALONE, change, FOUND, count, n=len(self._jobs)))
            figures.append(Figure(ALONE, change, SWAPPED, *found.flips.by_chance(rising), control=True))
        for change in CHANGES:
            figures += self._figures_of(found, change)
        return figures

    def plots(self, figures: Sequence[Figure]) -> list[Plot]:
        """Draw how many features differ, and in how many cells those fire that differ most."""
        at = {(one.name, one.group, one.way): one.value for one in figures}
        lines = [
            PlotLine(way, CHANGES[:2], [at[ALONE, change, way] for change in CHANGES[:2]], control=way == SWAPPED)
            for way in (FOUND, SWAPPED)
        ]
        plots = [Plot(ALONE, "on the other model", "features", lines)]
        for name in map(change_figure, CHANGES):
            groups = list(dict.fromkeys(one.group for one in figures if one.name == name))[:DRAWN]
            latents = [group.rpartition(":")[2] for group in groups]
            of = [PlotLine(one.name, latents, [at[name, group, one.name] for group in groups]) for one in self.sides]
            plots += [Plot(name, "feature", "percent of cells", of)] if groups else []
        return plots

    def pictures(self, results: Mapping[str, Mapping[str, Any]]) -> list[PictureRow]:
        """Show features that differ, each in the pair of pictures in which it differs most, with where it fires."""
        found = self._compared(results)
        apart = found.read[1].density - found.read[0].density
        chosen = [
            (change, latent, int(np.abs(apart[:, latent]).argmax()))
            for change in CHANGES
            for latent in found.latents[change][:SHOWN]
        ]
        numbers = sorted({number for *_, number in chosen}) or list(range(min(SHOWN, len(self._jobs))))
        shown = [self._shown(side, numbers, [latent for _, latent, _ in chosen]) for side in self.sides]
        if not chosen:
            return [
                PictureRow(self._jobs[number].prompt, [pictures.panel(number, None) for pictures in shown])
                for number in numbers
            ]
        return [
            PictureRow(
                f"{change}: {self.row.name}:{latent}. {self._jobs[number].prompt}",
                [pictures.panel(number, latent) for pictures in shown],
            )
            for change, latent, number in chosen
        ]

    @cached_property
    def _jobs(self) -> Sequence[Any]:
        return pictures_of(self.ctx, self.images)

    def _compared(self, results: Mapping[str, Mapping[str, Any]]) -> _Compared:
        units = self.units()
        read = [
            ReadPictures.joined([results[unit.key] for unit in units if unit.about["side"] == number])
            for number in range(2)
        ]
        return _Compared.of(read[0], read[1], self.ctx.settings.seed)

    def _figures_of(self, found: _Compared, change: str) -> list[Figure]:
        """Return the figures of the features with a change that differ most."""
        latents = found.latents[change][:LISTED]
        if not len(latents):
            return []
        first, second = found.read
        fired = (100 * first.fired[:, latents], 100 * second.fired[:, latents])
        estimates = paired_ratios(fired, (first.cells, second.cells))
        ways = (self.sides[0].name, self.sides[1].name, DIFFERENCE)
        figures = []
        for number, latent in enumerate(latents):
            name, group = change_figure(change), f"{self.row.name}:{latent}"
            figures += [Figure(name, group, way, *of[number]) for way, of in zip(ways, estimates, strict=True)]
            figures.append(Figure(name, group, CHANCE, float(found.flips.p[latent]), n=len(self._jobs)))
        return figures

    def _shown(self, side: ModelSide, numbers: Sequence[int], latents: Sequence[int]) -> _ShownPictures:
        """Generate some pictures of a model again, with where some features fire in them."""
        dictionary = loaded(self.ctx, self.row, side.ctx.model.device)
        maps = FiringMaps(dictionary, side.told, list(dict.fromkeys(latents)))
        jobs = [self._jobs[number] for number in numbers]
        made = captured(side.ctx, jobs, [side.layer], list(side.told), maps.consume)
        pictures = {job.index: picture for some, of in made for job, picture in zip(some, of, strict=True)}
        self._let_go(side)
        index = {number: self._jobs[number].index for number in numbers}
        return _ShownPictures(side.name, {number: pictures[index[number]] for number in numbers}, index, maps)

    def _let_go(self, side: ModelSide) -> None:
        """Unload a model, so that the other one finds room; where both are one, it stays."""
        if self.sides[1].shares_model:
            return
        side.ctx.__dict__.pop("model", None)
        gc.collect()
        import torch

        if torch.cuda.is_available():
            torch.cuda.empty_cache()


@dataclass(frozen=True)
class _Compared:
    """What the pictures of both models say.

    Attributes:
        read: The pictures of each model.
        flips: What random swaps say of each feature.
        latents: The features that differ surely, by their change, those that differ most first.
    """

    read: tuple[ReadPictures, ReadPictures]
    flips: SignFlips
    latents: Mapping[str, list[int]]

    @classmethod
    def of(cls, first: ReadPictures, second: ReadPictures, seed: int) -> _Compared:
        """Compare the pictures of two models, pair by pair."""
        flips = flip_signs(second.density - first.density, seed=seed)
        size = np.abs(second.fired.sum(0) / second.cells.sum() - first.fired.sum(0) / first.cells.sum())
        latents: dict[str, list[int]] = {change: [] for change in CHANGES}
        # Ties go to the smaller number, so that the order is the same everywhere.
        for latent in np.argsort(-size, kind="stable").tolist():
            if flips.surely[latent]:
                here, there = (bool(read.fired[:, latent].any()) for read in (first, second))
                change = ("more" if here else "new") if flips.rises[latent] else ("less" if there else "gone")
                latents[change].append(latent)
        return cls((first, second), flips, latents)


@dataclass(frozen=True)
class _ShownPictures:
    """Pictures of one model for the report, by their number, with their indices and where features fire in them."""

    name: str
    pictures: Mapping[int, Image.Image]
    index: Mapping[int, int]
    maps: FiringMaps

    def panel(self, number: int, latent: int | None) -> Any:
        """Return a picture in which the cells are outlined where a feature fires; None outlines nothing."""
        from autointerp.crops.panel import Panel
        from autointerp.crops.render import render_crop

        picture = self.pictures[number]
        if latent is None:
            return Panel(self.name, picture)
        fires = self.maps.maps[self.index[number], latent]
        caption = f"{self.name}: {fires.mean():.0%} of cells"
        whole = (0, 0, *picture.size)
        side = max(*picture.size, 256)
        return Panel(caption, render_crop(picture, whole, fires.astype(np.float32), side=side))
