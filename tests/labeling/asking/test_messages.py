from __future__ import annotations

import base64
import io
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from autointerp.labeling.asking.messages import (
    KeptPictures,
    PictureForm,
    guess_tokens,
    image_part,
    mapped_view,
    marked_view,
    shown,
    text_part,
    whole_picture,
)

from ..conftest import World


def picture_of(part: dict[str, Any]) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(part["image_url"]["url"].split(",")[1])))


@pytest.mark.parametrize("form", ["jpeg", "webp", "png"])
def test_a_picture_is_sent_in_its_form(form: PictureForm) -> None:
    part = image_part(Image.new("RGB", (32, 24), (200, 10, 10)), form)
    assert part["image_url"]["url"].startswith(f"data:image/{form};base64,")
    sent = picture_of(part)
    assert sent.size == (32, 24)
    assert np.abs(np.asarray(sent.convert("RGB"), int) - (200, 10, 10)).max() < 8


def test_marks_change_what_they_say_and_nothing_else(world: World) -> None:
    crop = world.crop(0, (2, 2), 1.0)
    plain = np.asarray(whole_picture(crop)[0], int)
    outlined, dimmed, heated = (np.asarray(marked_view(crop, mark)[0], int) for mark in ("outline", "dim", "heat"))
    assert plain.shape == outlined.shape == dimmed.shape == heated.shape
    # The marked cell keeps its colours; far from the crop's box `dim` alone is darker.
    scale = plain.shape[0] // 64
    inside = np.s_[2 * 8 * scale + 2 : 3 * 8 * scale - 2, 2 * 8 * scale + 2 : 3 * 8 * scale - 2]
    corner = np.s_[-8 * scale :, -8 * scale :]
    assert np.abs(outlined[inside] - plain[inside]).max() <= 2
    assert np.abs(outlined[corner] - plain[corner]).max() <= 2
    assert np.abs(dimmed[inside] - plain[inside]).max() <= 2
    assert dimmed[corner].sum() < plain[corner].sum() or plain[corner].max() < 30
    assert (heated != plain).any()


def test_a_map_marks_all_active_cells(world: World) -> None:
    heat = np.zeros((8, 8), np.float32)
    heat[2, 2], heat[2, 3], heat[6, 6], heat[0, 7] = 1.0, 0.5, 0.3, 0.1
    crop = replace(world.crop(0, (2, 2), 1.0), activation_map=heat, active_above=0.25)
    plain = np.asarray(whole_picture(crop)[0], int)
    dimmed, outlined = (np.asarray(mapped_view(crop, mark)[0], int) for mark in ("dim", "outline"))
    scale = plain.shape[0] // 64

    def cell(row: int, col: int) -> Any:
        return np.s_[row * 8 * scale + 6 : (row + 1) * 8 * scale - 6, col * 8 * scale + 6 : (col + 1) * 8 * scale - 6]

    for row, col in ((2, 2), (2, 3), (6, 6)):
        assert np.array_equal(dimmed[cell(row, col)], plain[cell(row, col)])
    for row, col in ((0, 7), (4, 0), (7, 2)):
        assert dimmed[cell(row, col)].sum() < plain[cell(row, col)].sum() or plain[cell(row, col)].max() < 30
        assert np.array_equal(outlined[cell(row, col)], plain[cell(row, col)])
    # Neighbours share one outline, so that no line parts them; around them it is white.
    seam = np.s_[2 * 8 * scale + 6 : 3 * 8 * scale - 6, 3 * 8 * scale - 2 : 3 * 8 * scale + 2]
    assert np.array_equal(dimmed[seam], plain[seam])
    assert (dimmed[2 * 8 * scale - 2, 2 * 8 * scale + 6 : 4 * 8 * scale - 6] == 255).all()
    # Without a map there is but the one mark.
    silent = replace(crop, activation_map=None)
    assert np.array_equal(np.asarray(mapped_view(silent)[0]), np.asarray(marked_view(silent)[0]))


def test_a_sheet_is_one_picture() -> None:
    views = [Image.new("RGB", (64, 64), "red")]
    apart = shown([("Image 1:", views), ("Image 2:", views)])
    assert [part["type"] for part in apart] == ["text", "image_url"] * 2
    sheet = shown([("Image 1:", views), ("Image 2:", views)], sheet=True)
    assert [part["type"] for part in sheet] == ["text", "image_url"]


def test_tokens_are_counted_by_picture_and_by_letter() -> None:
    picture = image_part(Image.new("RGB", (8, 8)))
    messages: list[Any] = [
        {"role": "system", "content": "x" * 300},
        {"role": "user", "content": [text_part("y" * 30), picture]},
    ]
    assert guess_tokens(messages, 1000) == 108 + 18 + 1000


def test_encoded_pictures_are_kept_up_to_a_bound(world: World) -> None:
    crops = [world.crop(image, (2, 2), 1.0) for image in range(4)]
    size = len(image_part(whole_picture(crops[0])[0])["image_url"]["url"])
    wholes = KeptPictures(limit=int(2.5 * size))
    first = wholes.parts(crops[0], "jpeg")
    assert wholes.parts(crops[0], "jpeg") is first
    for crop in crops[1:]:
        wholes.parts(crop, "jpeg")
    assert wholes.parts(crops[0], "jpeg") is not first
    assert wholes.parts(crops[0], "jpeg") == first


def test_a_marked_cell_is_kept_apart_from_others_of_its_picture(world: World) -> None:
    kept = KeptPictures()
    here, there = (replace(world.crop(0, cell, 1.0), activation_map=None) for cell in ((2, 2), (5, 5)))
    shown = kept.parts(here, "png", "dim")
    assert shown == [image_part(view, "png") for view in marked_view(here, "dim")]
    assert kept.parts(here, "png", "dim") is shown
    for other in (kept.parts(there, "png", "dim"), kept.parts(here, "png", "outline"), kept.parts(here, "png")):
        assert other != shown
