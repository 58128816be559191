"""Contact sheets and strips: several features on one picture, each with the crops on which it fires most."""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from autointerp.crops.sheet import contact_sheet
from autointerp.db import queries
from autointerp.db.models import DictionaryRow
from autointerp.errors import AutointerpError
from autointerp.project.context import Context
from autointerp.project.evidence import EvidenceReader
from autointerp.views.labeled import best_features
from autointerp.views.pictures import render

if TYPE_CHECKING:
    from autointerp.labeling.protocol import CropEvidence
    from autointerp.views.search.hits import Hit

_CROPS = 6
"""Crops of each feature on a sheet or strip."""
_SIDE, _GAP = 96, 6
"""Side of a crop in a strip, and the distance between two, in pixels."""


def render_sheet(ctx: Context, row: DictionaryRow, count: int = 16, columns: int = 2) -> bytes | None:
    """Render a dictionary's best labeled features as PNG; None where no feature with crops is labeled."""
    chosen = best_features(ctx, row, count)
    crops = EvidenceReader(ctx.db, row).crops([one.feature.id for one in chosen])
    cards = []
    for one in chosen:
        strongest = _strongest(crops[one.feature.id])
        if strongest:
            name = f"{row.name}:{one.feature.latent_index}"
            subtitle = f"{name}   {_figure(one.score)}   fires in {one.feature.density:.1%} of cells"
            cards.append((one.name, subtitle, [render(crop) for crop in strongest]))
    if not cards:
        return None
    sheet = contact_sheet(
        cards,
        columns=columns,
        heading=f"What {row.layer} of {row.model} represents",
        note="Each row: where one feature of the dictionary fires most. Outlined: the cells in which it is active.",
    )
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG")
    return buffer.getvalue()


def write_sheet(ctx: Context, row: DictionaryRow, path: Path, count: int = 16, columns: int = 2) -> Path:
    """Write a contact sheet (PNG) of a dictionary's best labeled features and return its path.

    Raises:
        AutointerpError: Nothing is labeled, or the file cannot be written.
    """
    sheet = render_sheet(ctx, row, count, columns)
    if sheet is None:
        raise AutointerpError(f"{row.name} has no labels yet", f"run `autointerp label --layer {row.layer}` first")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(sheet)
    except OSError as error:
        raise AutointerpError(f"cannot write {path}: {error.strerror or error}", "name another file") from None
    return path


def write_hits(ctx: Context, hits: Sequence[Hit], heading: str) -> Path:
    """Write a contact sheet (PNG) of a search's hits into the folder for temporary files and return its path.

    Raises:
        AutointerpError: The file cannot be written.
    """
    crops = _crops_of_hits(ctx, hits)
    cards = []
    for hit in hits:
        subtitle = f"{hit.feature}   {_figure(hit.score)}   fires in {hit.density:.1%}"
        cards.append((hit.name or "no label", subtitle, [render(crop) for crop in crops[hit.feature_id]]))
    try:
        handle, path = tempfile.mkstemp(prefix="autointerp-search-", suffix=".png")
        with os.fdopen(handle, "wb") as file:
            contact_sheet(cards, heading=heading).save(file, "PNG")
    except OSError as error:
        raise AutointerpError(f"cannot write a contact sheet: {error.strerror or error}", "free some space") from None
    return Path(path)


def strips_of(ctx: Context, hits: Sequence[Hit]) -> dict[int, Image.Image]:
    """Render each hit's strongest crops side by side; feature id -> strip. Dead features have no strip."""
    strips = {}
    for feature_id, crops in _crops_of_hits(ctx, hits).items():
        tiles = [render(crop, _SIDE) for crop in crops]
        if tiles:
            strip = Image.new("RGB", (len(tiles) * (_SIDE + _GAP) - _GAP, _SIDE), "white")
            for i, tile in enumerate(tiles):
                strip.paste(tile, (i * (_SIDE + _GAP), (_SIDE - tile.height) // 2))
            strips[feature_id] = strip
    return strips


def _crops_of_hits(ctx: Context, hits: Sequence[Hit]) -> dict[int, list[CropEvidence]]:
    """Read the few strongest crops of each hit; feature id -> crops."""
    names = {hit.dictionary for hit in hits}
    with ctx.db.session() as session:
        dictionaries = [row for row in queries.dictionaries.list_all(session) if row.name in names]
        session.expunge_all()
    strongest: dict[int, list[CropEvidence]] = {}
    for row in dictionaries:
        own = [hit.feature_id for hit in hits if hit.dictionary == row.name]
        for feature_id, crops in EvidenceReader(ctx.db, row).crops(own).items():
            strongest[feature_id] = _strongest(crops)
    return strongest


def _strongest(crops: Sequence[CropEvidence]) -> list[CropEvidence]:
    """Return the few crops on which the feature fires most, the strongest first."""
    return sorted((crop for crop in crops if crop.role != "negative"), key=lambda crop: -crop.activation)[:_CROPS]


def _figure(score: float | None) -> str:
    return "not scored" if score is None else f"score {score:.2f}"
