from __future__ import annotations

import numpy as np
from PIL import Image

from autointerp.crops.panel import Panel, before_after


def flat(colour: tuple[int, int, int]) -> Panel:
    return Panel("a caption", Image.new("RGB", (48, 48), colour))


def test_every_picture_is_on_the_panel_and_long_lines_wrap() -> None:
    rows = [("a prompt", [flat((200, 0, 0)), flat((0, 200, 0))]), ("", [flat((0, 0, 200))])]
    panel = before_after(rows, "heading", "note")
    colours = {colour for _, colour in panel.getcolors(2**20) or []}
    assert {(200, 0, 0), (0, 200, 0), (0, 0, 200)} <= colours
    longer = before_after([("words " * 60, rows[0][1]), rows[1]], "heading", "note " * 80)
    assert longer.width == panel.width
    assert longer.height > panel.height


def test_marked_cells_are_outlined_in_every_picture() -> None:
    mask = np.zeros((4, 4), bool)
    mask[1, 2] = True
    rows = [("", [flat((120, 120, 120)), flat((120, 120, 120))])]
    plain, marked = (np.asarray(before_after(rows, "h", "n", outline)) for outline in (None, mask))
    changed = (plain != marked).any(2)
    left, right = changed[:, : changed.shape[1] // 2], changed[:, changed.shape[1] // 2 :]
    assert left.any()
    assert right.any()
