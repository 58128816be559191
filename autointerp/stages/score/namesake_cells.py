"""Cells of a feature's namesakes, of the score split, for the score `apart`."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING

import numpy as np

from autointerp.crops.maps import decode_map
from autointerp.crops.sample import active_above
from autointerp.db import queries
from autointerp.labeling.judging.detection import TRIALS
from autointerp.labeling.judging.methods import Limits
from autointerp.stages.index.namesakes import label_namesakes

if TYPE_CHECKING:
    from autointerp.db.models import DictionaryRow, Label
    from autointerp.labeling.protocol import CropEvidence
    from autointerp.project.context import Context
    from autointerp.project.evidence import EvidenceReader


class NamesakeCells:
    """Draws cells in which the namesakes of a label's feature are active and the feature itself is not.

    Args:
        ctx: The command's view of the workspace.
        dictionary: The dictionary of the features.
        reader: Reads its crops.
    """

    def __init__(self, ctx: Context, dictionary: DictionaryRow, reader: EvidenceReader) -> None:
        self._db, self._reader, self._seed = ctx.db, reader, ctx.settings.seed
        self._namesakes = label_namesakes(ctx, dictionary)

    def of(self, labels: Sequence[Label]) -> list[tuple[CropEvidence, ...]]:
        """Return the cells for each label: one of each namesake in turn, the nearest first."""
        beside = [[one.feature_id for one in self._namesakes.get(label.id, ())] for label in labels]
        others = {other for some in beside for other in some}
        own = self._own_cells([label.feature_id for label in labels])
        with self._db.session() as session:
            latents = queries.features.latent_indexes(session, others)
        shown = self._reader.for_scores(latents, {"active"}, self._seed, limits=Limits(questions=TRIALS // 2))
        found = []
        for label, some in zip(labels, beside, strict=True):
            mine = own[label.feature_id]
            left = [[crop for crop in shown[other].active if not _is_in(crop, mine)] for other in some]
            found.append(tuple(crop for turn in zip_longest(*left) for crop in turn if crop is not None))
        return found

    def _own_cells(self, feature_ids: Sequence[int]) -> dict[int, dict[int, np.ndarray]]:
        """Return where each feature is active, bool [rows, cols], by the id of each image with a map of it."""
        found: dict[int, dict[int, np.ndarray]] = {feature_id: {} for feature_id in feature_ids}
        with self._db.session() as session:
            rows = queries.features.with_dictionaries(session, found)
            above = {one: float(active_above(row.feature.max_activation)) for one, row in rows.items()}
            for one in queries.crops.maps(session, found, "score"):
                found[one.feature_id][one.image_id] = decode_map(one.activation_map) > above[one.feature_id]
        return found


def _is_in(crop: CropEvidence, active: dict[int, np.ndarray]) -> bool:
    cells = active.get(crop.image_id)
    return cells is not None and crop.cell is not None and cells.shape == crop.grid and bool(cells[crop.cell])
