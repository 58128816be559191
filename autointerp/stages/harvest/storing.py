"""A finished harvest, stored: every latent as a feature, its crops, and random cells of the layer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from autointerp.crops.geometry import crop_box
from autointerp.crops.records import CropRow, FeatureStats, RandomCell
from autointerp.db import queries
from autointerp.dictionaries.protocol import Dictionary
from autointerp.stages.harvest.gathering import PassReader
from autointerp.stages.harvest.running import RunningHarvest

if TYPE_CHECKING:
    from autointerp.db import Session

DENSE = 0.5
"""A feature that is active in more than this share of all cells is `dense`: it says nothing about any of them."""


def store_harvest(session: Session, harvest: RunningHarvest, image_ids: Mapping[int, int]) -> None:
    """Write a harvest's features, crops and random cells, and mark its run done, in the caller's transaction.

    A harvest that adds to an earlier one leaves what that one stored as it is.

    Args:
        session: An open session.
        harvest: A harvest that has taken in all images.
        image_ids: Id of each stored image, by the image's index.
    """
    reader, dictionary_id = harvest.reader, harvest.row.id
    stats = reader.collector.stats()
    earlier = harvest.plan.adds_to
    if earlier is None:
        feature_ids = queries.features.store(session, dictionary_id, feature_rows(reader.dictionary, stats))
    else:
        feature_ids = queries.features.ids_by_index(session, dictionary_id)
    sizes = queries.images.sizes(session, image_ids.values())
    crops = (
        {
            **crop_columns(reader, row, sizes[image_ids[row.image]]),
            "feature_id": feature_ids[row.feature],
            "image_id": image_ids[row.image],
        }
        for row in reader.collector.rows()
    )
    if earlier is None:
        count = queries.crops.replace_all(session, dictionary_id, crops)
    else:
        count = queries.crops.add_to_samples(session, dictionary_id, crops)
        queries.runs.replace(session, earlier)
    cells = (
        {**cell_columns(cell), "dictionary_id": dictionary_id, "image_id": image_ids[cell.image]}
        for cell in reader.collector.random_cells()
    )
    queries.cells.replace_all(session, dictionary_id, cells)
    result = {"images": reader.collector.images_seen, "crops": count, "dead": int((stats.images == 0).sum())}
    queries.runs.finish(session, harvest.run_id, dictionary_id, result)


def feature_rows(dictionary: Dictionary, stats: FeatureStats) -> list[dict[str, Any]]:
    """Return the columns of every latent's row in `features`, in order."""
    from autointerp.dictionaries.atoms import AtomDictionary

    sources = dictionary.sources.all() if isinstance(dictionary, AtomDictionary) and dictionary.sources else []
    return [
        {
            **_atom_columns(sources[i % len(sources)] if sources else None),
            "latent_index": i,
            "density": float(stats.density[i]),
            "max_activation": float(stats.maximum[i]),
            "mean_activation": float(stats.mean[i]),
            "state": "dead" if not stats.images[i] else "dense" if stats.density[i] > DENSE else "live",
            "histogram": _histogram(stats.histogram[i]),
            "steps": {str(step): round(float(share[i]), 6) for step, share in stats.steps.items()},
            "neighbours": {str(latent): round(share, 4) for latent, share in stats.neighbours[i]},
        }
        for i in range(len(stats.images))
    ]


def crop_columns(reader: PassReader, row: CropRow, size: tuple[int, int]) -> dict[str, Any]:
    """Return the columns of a crop that follow from its cell and from the (width, height) of its picture."""
    # A text token has no place in the picture, so its box is the whole picture.
    if row.row is None or row.col is None or row.grid is None or reader.layer.stream == "text":
        box = (0, 0, *size)
    else:
        box = crop_box((row.row, row.col), row.grid, size)
    return {
        "step": row.step,
        "timestep": None if row.step is None else reader.timesteps[row.step],
        "row": row.row,
        "col": row.col,
        "box_left": box[0],
        "box_top": box[1],
        "box_right": box[2],
        "box_bottom": box[3],
        "activation": row.activation,
        "activation_map": row.activation_map,
        "rank": row.rank,
        "quantile": row.quantile,
        "role": row.role,
        "split": row.split,
        "neighbour": row.neighbour,
        "sample_probability": row.sample_probability,
    }


def cell_columns(cell: RandomCell) -> dict[str, Any]:
    """Return the columns of a random cell that follow from itself."""
    rows, cols = cell.grid
    place = {"step": cell.step, "row": cell.row, "col": cell.col, "split": cell.split}
    return {**place, "grid_rows": rows, "grid_cols": cols}


def _histogram(counts: np.ndarray) -> dict[str, Any]:
    """Return the levels from the first to the last that has a cell; nothing for a feature that never fired."""
    on = np.flatnonzero(counts)
    if not len(on):
        return {}
    return {"first": int(on[0]), "counts": counts[on[0] : on[-1] + 1].tolist()}


def _atom_columns(source: tuple[str, int, int, int, int] | None) -> dict[str, Any]:
    """Return the columns that say where an atom was seen."""
    names = ("atom_prompt", "atom_seed", "atom_step", "atom_row", "atom_col")
    return dict(zip(names, source or (None,) * len(names), strict=True))
