"""Pictures and maps by their ids."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from PIL import Image

from autointerp.project.context import Context
from autointerp.project.workspace import WorkspaceFolder
from autointerp.views.stored_pictures import stored_heat, stored_picture


def test_a_picture_and_a_map_are_those_of_their_ids(labeled: Path, query: Any) -> None:
    ctx = Context(WorkspaceFolder(labeled))
    crop, image, width = query(
        labeled,
        "SELECT c.id, i.id, i.width FROM crops c JOIN images i ON i.id = c.image_id WHERE c.role = 'top' LIMIT 1",
    )[0]
    data = stored_picture(ctx, image)
    assert data is not None
    with Image.open(io.BytesIO(data)) as picture:
        assert picture.width <= width
    heat = stored_heat(ctx, crop)
    assert heat is not None
    assert heat[:2] == [12, 12]
    assert (stored_picture(ctx, 10**9), stored_heat(ctx, 10**9)) == (None, None)
