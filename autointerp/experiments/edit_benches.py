"""Benches of edits: which cases there are, where each happens, and what became of it, judged by the pictures.

A world that is known has a bench of its own, with exact masks and a known truth. For any model the cases come from a
file, and are judged by what a detector and a segmenter find, by the CLIP gain towards the wanted prompt, and by the
latents of the model's autoencoder.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from autointerp.errors import AutointerpError, UsageError
from autointerp.experiments.case_files import ADD, DELETE, EVERYTHING, CaseFile, phrases_of
from autointerp.experiments.likeness import SAME, latent_distances, text_gain
from autointerp.experiments.regions import mask_cells, read_mask
from autointerp.experiments.subjects import ReadPicture, resized
from autointerp.project.context import identity
from autointerp.project.segmenters import scene_reader_of, scene_readers_of
from autointerp.sizes import sides
from autointerp.worlds import EditVerdict

if TYPE_CHECKING:
    from pathlib import Path

    from PIL import Image

    from autointerp.diffusion.layers import Layer
    from autointerp.project.context import Context
    from autointerp.worlds import EditBench, EditCase, SceneFacts, SceneReader

OVERLAP = 0.5
"""A phrase is in a region if so much of the smaller of its cells and the region's is in both."""
GAIN = 0.5
"""A change that no phrase tells is reached at so large a share of the gain of the wanted prompt's own picture."""
_SQUARE = 0.02
"""How far a mask's proportions may differ from the pictures'."""


class CaseBench(Protocol):
    """Cases of edits, and the pictures that show what became of them."""

    @property
    def identity(self) -> Any:
        """What decides verdicts beside the cases, as plain JSON; empty for a bench of the world itself."""
        ...

    def kinds(self) -> Sequence[str]:
        """Return all kinds of edits."""
        ...

    def cases(self, count: int, seed: int) -> list[EditCase]:
        """Return the first `count` cases of a seed, or all there are; kinds take turns."""
        ...

    def read(self, case: EditCase, pictures: Sequence[Image.Image]) -> list[ReadPicture]:
        """Read pictures of a case."""
        ...

    def region(self, case: EditCase, source: ReadPicture, target: ReadPicture) -> np.ndarray | None:
        """Return the cells in which a case happens, bool [rows, cols]; None where the first picture lacks it."""
        ...

    def verdicts(
        self, case: EditCase, region: np.ndarray, ends: tuple[ReadPicture, ReadPicture], edited: Sequence[ReadPicture]
    ) -> list[EditVerdict]:
        """Return what became of a case in each edited picture.

        Args:
            case: The case.
            region: Its cells.
            ends: The picture that was edited, and that of the wanted prompt.
            edited: The pictures after edits.
        """
        ...


class WorldCases:
    """The bench of a known world.

    Args:
        ctx: The workspace.
    """

    identity: Any = ""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx

    @cached_property
    def bench(self) -> EditBench:
        """The world's cases."""
        assert self._ctx.world.edits is not None
        return self._ctx.world.edits.load()()

    @cached_property
    def _reader(self) -> SceneReader:
        return scene_reader_of(self._ctx, (), (1, 1))

    def kinds(self) -> list[str]:
        """See `CaseBench`; every kind comes among a few cases."""
        return list(dict.fromkeys(case.kind for case in self.bench.cases(32, 0)))

    def cases(self, count: int, seed: int) -> list[EditCase]:
        """See `CaseBench`."""
        return self.bench.cases(count, seed)

    def read(self, case: EditCase, pictures: Sequence[Image.Image]) -> list[ReadPicture]:
        """See `CaseBench`; one oracle reads the pictures of all cases."""
        del case
        return [ReadPicture(*one) for one in zip(pictures, self._reader.read(pictures), strict=True)]

    def region(self, case: EditCase, source: ReadPicture, target: ReadPicture) -> np.ndarray | None:
        """See `CaseBench`."""
        return self.bench.region(case, source.facts, target.facts)

    def verdicts(
        self, case: EditCase, region: np.ndarray, ends: tuple[ReadPicture, ReadPicture], edited: Sequence[ReadPicture]
    ) -> list[EditVerdict]:
        """See `CaseBench`."""
        return [self.bench.verdict(case, region, ends[0].facts, one.facts) for one in edited]


class FileCases:
    """The cases of a file, in pictures of any model.

    A case whose phrases differ is reached where the wanted one is found inside the region, or where the old one is
    there no more, if it was to go. A change that no phrase tells, such as another color of the same thing, is reached
    at half of the CLIP gain that the wanted prompt's own picture has. Outside of the region a place is kept if its
    latents are the same up to `SAME`. A picture is valid if anything of the case is found in it.

    Args:
        ctx: The workspace.
        file: The cases.
        layer: The layer of the finest grid, whose cells masks have.

    Raises:
        UsageError: A mask has other proportions than the pictures, or no bright cell.
        AutointerpError: A mask cannot be read.
    """

    def __init__(self, ctx: Context, file: CaseFile, layer: Layer) -> None:
        self._ctx, self._file, self._grid = ctx, file, layer.grid
        size = sides(ctx.generation.size)
        self._masks = {key: _mask(f"{file.path}, case {key}", mask, size, layer) for key, mask in file.masks.items()}
        for note in file.notes:
            ctx.progress.note(note)

    @property
    def identity(self) -> Any:
        """See `CaseBench`."""
        about = [self._ctx.settings.grounding.model_dump(), self._ctx.embedder_name, list(self._grid)]
        return identity([*about, OVERLAP, GAIN, SAME, self._file.masks_hash()])

    def kinds(self) -> list[str]:
        """See `CaseBench`."""
        return list(dict.fromkeys(case.kind for case in self._file.rows))

    def cases(self, count: int, seed: int) -> list[EditCase]:
        """See `CaseBench`."""
        return self._file.cases(seed)[:count]

    @cached_property
    def _readers(self) -> Any:
        return scene_readers_of(self._ctx, self._grid)

    def read(self, case: EditCase, pictures: Sequence[Image.Image]) -> list[ReadPicture]:
        """See `CaseBench`; only the phrases of the case are looked for."""
        phrases = [*phrases_of(case.source_phrase), *phrases_of(case.target_phrase)]
        reader: SceneReader = self._readers(phrases or [case.source])
        return [ReadPicture(*one) for one in zip(pictures, reader.read(pictures), strict=True)]

    def region(self, case: EditCase, source: ReadPicture, target: ReadPicture) -> np.ndarray | None:
        """See `CaseBench`; what is added is where it is in the wanted picture, what goes is where it was."""
        if case.key in self._masks:
            return self._masks[case.key]
        old = self._cells(case.source_phrase, source.facts)
        new = self._cells(case.target_phrase, target.facts)
        region = new if case.kind == ADD else old if case.kind == DELETE else old | new
        found = region.any() and (case.kind == ADD or old.any())
        return region if found else None

    def verdicts(
        self, case: EditCase, region: np.ndarray, ends: tuple[ReadPicture, ReadPicture], edited: Sequence[ReadPicture]
    ) -> list[EditVerdict]:
        """See `CaseBench`."""
        if not edited:
            return []
        before, after = ends[0].picture, [one.picture for one in edited]
        every = [*after, ends[1].picture]
        gains = text_gain(self._ctx.embedder, [before] * len(every), every, [case.target] * len(every))
        distances = latent_distances(self._ctx.model, [before] * len(after), after)
        outside = ~resized(region, distances.shape[1:])
        found = []
        for one, gain, distance in zip(edited, gains, distances, strict=False):
            reached = self._is_reached(case, region, one.facts, float(gain), float(gains[-1]))
            kept = float((distance[outside] <= SAME).mean()) if outside.any() else 1.0
            found.append(EditVerdict(reached, kept, one.facts.valid, float(gain), float(distance.mean())))
        return found

    def _is_reached(self, case: EditCase, region: np.ndarray, facts: SceneFacts, gain: float, full: float) -> bool:
        """Return whether a picture shows what was wanted."""
        if case.kind == DELETE and phrases_of(case.source_phrase):
            return not _overlap(self._cells(case.source_phrase, facts), region)
        told = phrases_of(case.target_phrase) and not case.target_phrase.startswith("~")
        if told and case.target_phrase != case.source_phrase:
            return _overlap(self._cells(case.target_phrase, facts), region)
        return full > 0 and gain >= GAIN * full

    def _cells(self, text: str, facts: SceneFacts) -> np.ndarray:
        """Return the cells of a phrase as the file writes it, bool [rows, cols]."""
        if text == EVERYTHING:
            return np.ones(self._grid, bool)
        here = np.zeros(self._grid, bool)
        reader: SceneReader = self._readers(phrases_of(text) or [EVERYTHING])
        for phrase in phrases_of(text):
            holds = reader.holds(phrase, [facts])
            here |= False if holds is None else resized(holds[0], self._grid)
        return ~here if text.startswith("~") else here


def bench_of(ctx: Context, file: Path | None, layers: Sequence[Layer]) -> CaseBench:
    """Return the cases of a workspace: those of a file, else those of the model's world.

    Raises:
        UsageError: There is no file, and the world is not known; or the file is no file of cases.
        AutointerpError: The file or a mask cannot be read.
    """
    if file is not None:
        finest = max(layers, key=lambda layer: layer.grid[0] * layer.grid[1])
        return FileCases(ctx, CaseFile.read(file), finest)
    if ctx.world.edits is None:
        raise UsageError(
            f"it is not known what is true of pictures of {ctx.description.name}",
            "give cases with the fields of RIEBench: --cases FILE",
        )
    return WorldCases(ctx)


def _overlap(one: np.ndarray, region: np.ndarray) -> bool:
    """Return whether cells and a region overlap by half of the smaller of both."""
    least = min(int(one.sum()), int(region.sum()))
    return least > 0 and int((one & region).sum()) >= OVERLAP * least


def _mask(where: str, path: Path, size: tuple[int, int], layer: Layer) -> np.ndarray:
    """Read the mask of a case as cells of a layer."""
    try:
        mask = read_mask(path)
        if abs(mask.width * size[1] / (mask.height * size[0]) - 1) > _SQUARE:
            raise UsageError(
                f"the mask {path.name} has {mask.width}x{mask.height} pixels, and pictures have {size[0]}x{size[1]}",
                "give masks of the pictures' proportions",
            )
        return np.asarray(mask_cells(mask, layer).numpy())
    except AutointerpError as error:
        raise type(error)(f"{where}: {error.message}", error.hint) from None
