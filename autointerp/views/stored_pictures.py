"""Stored pictures and activation maps by their ids, as pages show them."""

from __future__ import annotations

from typing import Any

from autointerp.crops.maps import decode_map
from autointerp.db import queries
from autointerp.export.gallery import heat_line
from autointerp.project.context import Context


def stored_picture(ctx: Context, image_id: int) -> bytes | None:
    """Return the stored picture of an image (WebP); None where there is no such image."""
    with ctx.db.session() as session:
        return queries.catalog.picture(session, image_id)


def stored_heat(ctx: Context, crop_id: int) -> list[Any] | None:
    """Return the activation map of a crop as `drawing.js` takes it; None where there is none."""
    with ctx.db.session() as session:
        packed = queries.catalog.activation_map(session, crop_id)
    return None if packed is None else heat_line(decode_map(packed))
