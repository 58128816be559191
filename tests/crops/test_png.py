"""A PNG file is refused before the work if it could not be written."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from autointerp.crops.png import PngFile
from autointerp.errors import AutointerpError, UsageError


def test_a_picture_is_written_as_it_is(tmp_path: Path) -> None:
    picture = Image.new("RGB", (3, 2), (10, 20, 30))
    picture.putpixel((1, 1), (200, 100, 0))
    path = PngFile(tmp_path / "x.PNG").write(picture)
    with Image.open(path) as found:
        assert found.format == "PNG"
        assert found.tobytes() == picture.tobytes()


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("", "is a folder: name a PNG file in it"),
        ("x.jpg", "x.jpg is not named as a PNG: write x.png"),
        ("none/x.png", "there is no folder"),
    ],
)
def test_a_place_that_cannot_be_is_refused_at_once(tmp_path: Path, name: str, says: str) -> None:
    with pytest.raises(UsageError) as raised:
        PngFile(tmp_path / name)
    assert says in str(raised.value)


def test_a_full_disk_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "x.png.part").symlink_to("/dev/full")
    with pytest.raises(AutointerpError, match="^cannot write .*x.png: No space left on device: name another file$"):
        PngFile(tmp_path / "x.png").write(Image.new("RGB", (64, 64)))
