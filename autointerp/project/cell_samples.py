"""From stored samples to evidence: active cells of a feature, and random cells of its layer.

Both are drawn with known probabilities, so that shares of them are estimates for all cells. Workspaces and bundles that
were harvested before such samples were kept have none; then both are empty, and `note_missing` says what brings them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

import numpy as np

from autointerp.crops.geometry import crop_box
from autointerp.crops.maps import decode_map
from autointerp.db import queries
from autointerp.labeling.evidence.drawing import active_picture, draw_cells
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
        self, features: Iterable[Feature], split: Split, n: int, seed: int, most: int | None = None
    ) -> dict[int, list[CropEvidence]]:
        """Return active cells of each feature, in a random order, by the feature's id.

        Each active cell of the split is as probable as any other, and knows how many it stands for (`weight`). Those of
        a text token have no place in the picture, so there are none.

        Args:
            features: The features.
            split: The split of the pictures.
            n: Cells of a feature, at most.
            seed: The seed of what is drawn.
            most: Cells of one picture, at most; None for no limit.
        """
        rows = {feature.id: feature for feature in features}
        found: dict[int, list[CropEvidence]] = {feature_id: [] for feature_id in rows}
        if not self._reader.placed:
            return found
        stored: dict[int, list[PicturedCrop]] = {feature_id: [] for feature_id in rows}
        with self._reader.db.session() as session:
            for one in queries.cells.sampled(session, list(rows), split):
                stored[one.crop.feature_id].append(one)
            for feature_id, feature in rows.items():
                pictures = [
                    active_picture(self._sampled(one), feature.max_activation, 1 / (one.crop.sample_probability or 1))
                    for one in stored[feature_id]
                ]
                draw = np.random.default_rng((seed, feature.latent_index, 3))
                found[feature_id] = draw_cells([one for one in pictures if one is not None], n, draw, most)
        return found

    def _sampled(self, one: PicturedCrop) -> CropEvidence:
        """Return a sampled picture, with the whole map."""
        crop, shown = one.crop, self._reader.picture_cache.get(one.crop.image_id, one.picture)
        heat = decode_map(crop.activation_map or b"")
        return CropEvidence(
            crop_id=crop.id,
            image_id=crop.image_id,
            prompt=self._reader.seen(one.prompt),
            picture=shown,
            box=(crop.box_left, crop.box_top, crop.box_right, crop.box_bottom),
            grid=(heat.shape[0], heat.shape[1]),
            cell=(crop.row or 0, crop.col or 0),
            activation=crop.activation,
            activation_map=heat,
            role="active",
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
