"""The crops of what a search found: strips for a terminal, and a contact sheet."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from autointerp.crops.render import contact_sheet
from autointerp.db import queries
from autointerp.errors import AutointerpError
from autointerp.stages.context import Context
from autointerp.stages.evidence import EvidenceReader
from autointerp.stages.read import render

if TYPE_CHECKING:
    from autointerp.labeling.protocol import CropEvidence
    from autointerp.stages.search import Hit

_CROPS = 6
_SIDE, _GAP = 96, 6


def strips_of(ctx: Context, hits: Sequence[Hit]) -> dict[int, Image.Image]:
    """Feature id -> its strongest crops beside each other; features that never fire have none."""
    found = {}
    for feature, crops in _strongest(ctx, hits).items():
        tiles = [render(crop, _SIDE) for crop in crops]
        if tiles:
            strip = Image.new("RGB", (len(tiles) * (_SIDE + _GAP) - _GAP, _SIDE), "white")
            for i, tile in enumerate(tiles):
                strip.paste(tile, (i * (_SIDE + _GAP), (_SIDE - tile.height) // 2))
            found[feature] = strip
    return found


def write_hits(ctx: Context, hits: Sequence[Hit], heading: str) -> Path:
    """Write a contact sheet (PNG) of what was found into the folder for temporary files; returns its path.

    Raises:
        AutointerpError: The file cannot be written.
    """
    crops = _strongest(ctx, hits)
    cards = []
    for hit in hits:
        figure = "not scored" if hit.score is None else f"score {hit.score:.2f}"
        subtitle = f"{hit.feature}   {figure}   fires in {hit.density:.1%}"
        cards.append((hit.name or "no label", subtitle, [render(crop) for crop in crops[hit.feature_id]]))
    try:
        handle, path = tempfile.mkstemp(prefix="autointerp-search-", suffix=".png")
        with os.fdopen(handle, "wb") as file:
            contact_sheet(cards, heading=heading).save(file, "PNG")
    except OSError as error:
        raise AutointerpError(f"cannot write a contact sheet: {error.strerror or error}", "free some space") from None
    return Path(path)


def _strongest(ctx: Context, hits: Sequence[Hit]) -> dict[int, list[CropEvidence]]:
    """The few strongest crops of each feature."""
    names = {hit.feature.rpartition(":")[0] for hit in hits}
    with ctx.db.session() as session:
        dictionaries = [row for row in queries.all_dictionaries(session) if row.name in names]
        session.expunge_all()
    found: dict[int, list[CropEvidence]] = {}
    for row in dictionaries:
        own = [hit.feature_id for hit in hits if hit.feature.rpartition(":")[0] == row.name]
        for feature, crops in EvidenceReader(ctx.db, row).crops(own).items():
            firing = sorted((c for c in crops if c.role != "negative"), key=lambda c: -c.activation)
            found[feature] = firing[:_CROPS]
    return found
