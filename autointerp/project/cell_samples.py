"""From stored samples to evidence: active cells of a feature, and random cells of its layer.

Both are drawn with known probabilities, so that shares of them are estimates for all cells. Workspaces and bundles that
were harvested before such samples were kept have none; then both are empty, and `note_missing` says what brings them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

import numpy as np

from autointerp.crops.geometry import crop_box
from autointerp.crops.maps import decode_map
from autointerp.crops.sample import active_above
from autointerp.db import queries
from autointerp.labeling.protocol import CropEvidence

if TYPE_CHECKING:
    from autointerp.db.engine import Database
    from autointerp.db.models import DictionaryRow, Feature, Split
    from autointerp.db.queries.cells import PicturedCell
    from autointerp.db.queries.crops import PicturedCrop
    from autointerp.progress import Progress
    from autointerp.project.picture_cache import PictureCache


class PictureReader(Protocol):
    """Reads the pictures and prompts of a dictionary's images; see `EvidenceReader`."""

    db: Database
    dictionary: DictionaryRow
    seen: Callable[[str], str]
    placed: bool
    picture_cache: PictureCache


class CellSampleReader:
    """Read the active cells of one dictionary's features, and random cells of its layer, as evidence.

    Args:
        reader: Reads the pictures of the dictionary's images.
    """

    def __init__(self, reader: PictureReader) -> None:
        self._reader = reader

    @cached_property
    def kept(self) -> bool:
        """Whether the harvest of the dictionary kept samples of active cells."""
        with self._reader.db.session() as session:
            return queries.cells.are_kept(session, self._reader.dictionary.id)

    def note_missing(self, progress: Progress) -> None:
        """Note that stored crops stand in for active cells, where the harvest kept none, and what brings them."""
        if not self.kept:
            row = self._reader.dictionary
            progress.note(
                f"{row.name} was harvested before active cells were kept, so its stored crops stand in for them; "
                f"`autointerp harvest --layer {row.layer} --dictionary {row.name}` adds them"
            )

    def active_cells(
        self, features: Iterable[Feature], split: Split, n: int, seed: int
    ) -> dict[int, list[CropEvidence]]:
        """Return active cells of each feature, one a picture, in a random order, by the feature's id.

        A picture is drawn in proportion to the number of its active cells, and the cell evenly from those. A feature
        that is active in fewer pictures has fewer cells. Each cell knows how many it stands for (`weight`).

        Args:
            features: The features.
            split: The split of the pictures.
            n: Cells of a feature, at most; there are no more than the harvest's sample has images.
            seed: The seed of what is drawn.
        """
        rows = {feature.id: feature for feature in features}
        stored: dict[int, list[PicturedCrop]] = {feature_id: [] for feature_id in rows}
        found: dict[int, list[CropEvidence]] = {}
        with self._reader.db.session() as session:
            for one in queries.cells.sampled(session, list(rows), split):
                stored[one.crop.feature_id].append(one)
            for feature_id, feature in rows.items():
                draw = np.random.default_rng((seed, feature.latent_index, 3))
                found[feature_id] = self._drawn(feature, stored[feature_id], n, draw)
        return found

    def _drawn(
        self, feature: Feature, stored: Sequence[PicturedCrop], n: int, draw: np.random.Generator
    ) -> list[CropEvidence]:
        """Draw `n` of a feature's sampled pictures, and an active cell of each."""
        above = float(active_above(feature.max_activation))
        maps = [decode_map(one.crop.activation_map or b"") for one in stored]
        cells = [np.argwhere(heat > above) for heat in maps]
        stands_for = np.array(
            [len(here) / (one.crop.sample_probability or 1) for here, one in zip(cells, stored, strict=True)]
        )
        picked = [draw.integers(max(len(here), 1)) for here in cells]
        # Priority sampling once more, as in `crops.sample`: in proportion to the cells that each picture stands for.
        priority = draw.random(len(stored)) / np.maximum(stands_for, 1e-9)
        order = [int(i) for i in np.argsort(priority, kind="stable") if len(cells[i])]
        least = 1 / priority[order[n]] if len(order) > n else 0.0
        shown = [order[i] for i in draw.permutation(min(n, len(order)))]
        return [
            self._active(stored[i], maps[i], cells[i][picked[i]].tolist(), above, max(float(stands_for[i]), least))
            for i in shown
        ]

    def _active(
        self, one: PicturedCrop, heat: np.ndarray, cell: list[int], above: float, weight: float
    ) -> CropEvidence:
        """Return an active cell of a sampled picture, with the whole map."""
        reader, crop = self._reader, one.crop
        shown = reader.picture_cache.get(crop.image_id, one.picture)
        row, col = cell
        placed = reader.placed
        grid = (heat.shape[0], heat.shape[1]) if placed else (1, 1)
        return CropEvidence(
            crop_id=crop.id,
            image_id=crop.image_id,
            prompt=reader.seen(one.prompt),
            picture=shown,
            box=crop_box((row, col), grid, shown.size) if placed else (0, 0, *shown.size),
            grid=grid,
            cell=(row, col) if placed else (0, 0),
            activation=float(heat[row, col]),
            activation_map=heat if placed else None,
            role="active",
            active_above=above,
            weight=weight,
        )

    def random_cells(self, split: Split, n: int, seed: int) -> list[CropEvidence]:
        """Return random cells of the layer, over all pictures and steps that were harvested, in a random order.

        Args:
            split: The split of the pictures.
            n: How many, at most; there are no more than the harvest kept.
            seed: The seed of what is drawn.
        """
        with self._reader.db.session() as session:
            ids = queries.cells.random_ids(session, self._reader.dictionary.id, split)
            order = np.random.default_rng((seed, 4)).permutation(len(ids))[:n]
            wanted = [ids[i] for i in order]
            found = {one.cell.id: self._random(one) for one in queries.cells.pictured_by_id(session, wanted)}
        return [found[cell_id] for cell_id in wanted]

    def _random(self, one: PicturedCell) -> CropEvidence:
        """Return a random cell as evidence."""
        reader, cell = self._reader, one.cell
        shown = reader.picture_cache.get(cell.image_id, one.picture)
        grid = (cell.grid_rows, cell.grid_cols) if reader.placed else (1, 1)
        place = (cell.row, cell.col) if reader.placed else (0, 0)
        return CropEvidence(
            crop_id=None,
            image_id=cell.image_id,
            prompt=reader.seen(one.prompt),
            picture=shown,
            box=crop_box(place, grid, shown.size) if reader.placed else (0, 0, *shown.size),
            grid=grid,
            cell=place,
            activation=0.0,
            activation_map=None,
            role="random",
        )
