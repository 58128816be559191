"""Pictures are known by their pixels."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from autointerp.errors import UsageError
from autointerp.labeling.asking.messages import image_part, text_part
from autointerp.labeling.asking.pictures import Picture, pictures_of


def test_pictures_with_the_same_pixels_have_the_same_digest() -> None:
    red = Image.new("RGB", (6, 4), "red")
    assert Picture.of(red) == Picture.of(red)
    assert Picture.of(red).digest == Picture.of(red.convert("RGBA")).digest
    others = [Image.new("RGB", (4, 6), "red"), Image.new("RGB", (6, 4), "#fe0000")]
    assert len({Picture.of(image).digest for image in (red, *others)}) == 3


def test_pictures_of_a_request_come_in_their_order_and_in_any_form() -> None:
    colors = [Image.new("RGB", (4, 4), color) for color in ("red", "lime", "blue")]
    content = [image_part(colors[0], "png"), text_part("then"), image_part(colors[1], "pixels"), image_part(colors[2])]
    found = pictures_of([{"role": "system", "content": "words"}, {"role": "user", "content": content}])
    shown = [np.asarray(picture.image)[1, 1] for picture in found]
    assert shown[0].tolist() == [255, 0, 0]
    assert shown[1].tolist() == [0, 255, 0]
    assert shown[2].argmax() == 2
    assert all(picture.image.mode == "RGB" for picture in found)


@pytest.mark.parametrize("uri", ["https://host/a.png", "data:image/png;base64,%%%", "data:image/png;base64,AAAA"])
def test_what_is_no_picture_is_refused(uri: str) -> None:
    with pytest.raises(UsageError, match="an image cannot be read"):
        pictures_of([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": uri}}]}])
