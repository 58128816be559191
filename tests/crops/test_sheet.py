from __future__ import annotations

import numpy as np
from PIL import Image

from autointerp.crops.sheet import contact_sheet


def test_a_contact_sheet_holds_every_crop_and_long_names_stay_inside() -> None:
    crops = [Image.new("RGB", (50, 50), (200, 30 * i, 0)) for i in range(4)]
    rows = [("a name " * 40, "a line " * 60, crops), ("short", "", crops[:2]), ("none", "", [])]
    sheet = contact_sheet(rows, columns=2, heading="Features", note="a note")
    pixels = np.asarray(sheet).reshape(-1, 3)
    for i in range(4):
        assert (pixels == (200, 30 * i, 0)).all(1).sum() > 5000
    assert (np.asarray(sheet)[:, -20:] == np.asarray(sheet)[0, 0]).all()
    assert contact_sheet([]).width > 0
