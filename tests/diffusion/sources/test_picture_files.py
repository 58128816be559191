"""Files of pictures."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from autointerp.diffusion.sources.picture_files import kept_size, load_picture, open_picture, picture_shape, unsupported
from autointerp.diffusion.sources.pictures import load_pictures
from autointerp.errors import AutointerpError


def only(folder: Path, size: tuple[int, int] = (8, 8)) -> np.ndarray:
    (job,) = load_pictures(folder).jobs(0, 9, 0)
    return np.asarray(load_picture(job, size))


def test_cameras_transparency_palettes_and_deep_pixels(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned a quarter to the right
    wide = Image.new("RGB", (16, 8), "red")
    wide.paste("blue", (0, 0, 8, 8))
    (tmp_path / "turned").mkdir()
    wide.save(tmp_path / "turned" / "a.png", exif=exif)
    turned = only(tmp_path / "turned", (8, 16))
    assert turned[0, 4].tolist() == [0, 0, 255]
    assert turned[-1, 4].tolist() == [255, 0, 0]
    assert load_pictures(tmp_path / "turned", (8, 1)).photographs[0].size == kept_size((8, 16), 8, 1)
    deep = [("RGBA", (255, 0, 0, 0), 255), ("LA", (0, 0), 255), ("L", 7, 7), ("I;16", 257 * 9, 9)]
    for mode, color, seen in deep:
        folder = tmp_path / mode.replace(";", "")
        folder.mkdir()
        Image.new(mode, (8, 8), color).save(folder / "a.png")  # type: ignore[arg-type]
        assert np.all(only(folder) == seen), mode
    clear = Image.new("P", (8, 8), 0)
    clear.putpalette([10, 20, 30, 40, 50, 60])
    (tmp_path / "palette").mkdir()
    clear.save(tmp_path / "palette" / "a.gif", transparency=0)
    assert np.all(only(tmp_path / "palette") == 255)


def test_a_picture_is_covered_and_cut_at_both_ends(tmp_path: Path) -> None:
    wide = Image.new("RGB", (40, 8), "red")
    wide.paste("blue", (16, 0, 24, 8))
    wide.save(tmp_path / "a.png")
    assert np.all(only(tmp_path) == (0, 0, 255))


def _exif(orientation: int) -> bytes:
    """EXIF of a camera whose resolution is a fraction over zero, which Pillow reads and cannot write."""
    entries = [
        (0x0112, 3, 1, orientation.to_bytes(2, "little") + b"\0\0"),
        (0x011A, 5, 1, (38).to_bytes(4, "little")),  # behind the list of 2 entries: 8 + 2 + 24 + 4
    ]
    listed = b"".join(
        tag.to_bytes(2, "little") + kind.to_bytes(2, "little") + count.to_bytes(4, "little") + value
        for tag, kind, count, value in entries
    )
    fraction = (72).to_bytes(4, "little") + (0).to_bytes(4, "little")
    return b"Exif\0\0II*\0\x08\0\0\0" + len(entries).to_bytes(2, "little") + listed + b"\0\0\0\0" + fraction


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_turned_even_of_exif_that_cannot_be_written(tmp_path: Path, orientation: int) -> None:
    upright = Image.new("RGB", (48, 32), "black")
    upright.paste("red", (0, 0, 24, 16))  # upper left
    undo = [
        None,
        "FLIP_LEFT_RIGHT",
        "ROTATE_180",
        "FLIP_TOP_BOTTOM",
        "TRANSPOSE",
        "ROTATE_90",
        "TRANSVERSE",
        "ROTATE_270",
    ]
    turn = undo[orientation - 1]
    stored = upright if turn is None else upright.transpose(Image.Transpose[turn])
    path = tmp_path / "a.jpg"
    stored.save(path, quality=95, exif=_exif(orientation))
    seen = np.asarray(open_picture(path.read_bytes()), int)
    assert seen.shape == (32, 48, 3)
    assert np.abs(seen - np.asarray(upright, int)).mean() < 8
    assert only(tmp_path, (48, 32)).shape == (32, 48, 3)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_the_header_tells_the_upright_shape(tmp_path: Path, form: str) -> None:
    for orientation in (1, 3, 6, 8):
        exif = Image.Exif()
        exif[0x0112] = orientation
        path = tmp_path / "a"
        Image.new("RGB", (48, 32), "red").save(path, form, exif=exif)
        assert (
            picture_shape(path) == open_picture(path.read_bytes()).size == ((32, 48) if orientation > 4 else (48, 32))
        )


def test_exif_that_cannot_be_read_leaves_a_picture_as_it_lies(tmp_path: Path) -> None:
    Image.new("RGB", (16, 8), "red").save(tmp_path / "a.jpg", exif=b"Exif\0\0II*\0\xff\xff\xff\x7f")
    assert only(tmp_path, (16, 8)).shape == (8, 16, 3)


def test_large_pictures_are_quiet_and_bombs_are_named(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Image.new("1", (9747, 9747)).save(tmp_path / "large.png")
        source = load_pictures(tmp_path, (64, 8))
        source.check()
        load_picture(source.jobs(0, 1, 0)[0], (8, 8))
        Image.new("1", (20_000, 20_000)).save(tmp_path / "bomb.png")
        source = load_pictures(tmp_path)
        with pytest.raises(AutointerpError, match=r"bomb\.png \(it has more than 178 million pixels"):
            source.check()


@pytest.mark.parametrize("form", ["GIF", "PNG", "WEBP"])
def test_the_first_frame_of_an_animation_is_read_and_said(form: str) -> None:
    file, told = io.BytesIO(), list[str]()
    frames = [Image.new("RGB", (8, 8), color) for color in ("red", "lime", "blue")]
    frames[0].save(file, form, save_all=True, append_images=frames[1:], duration=50, lossless=True)
    seen = np.asarray(open_picture(file.getvalue(), told=told.append))
    assert seen[4, 4].tolist() == [255, 0, 0]
    assert told == ["first frame of an animation"]


def test_values_that_are_not_finite_name_the_picture(tmp_path: Path) -> None:
    Image.fromarray(np.full((8, 8), np.nan, np.float32)).save(tmp_path / "a.tif")
    source = load_pictures(tmp_path)
    with pytest.raises(AutointerpError, match=r"a\.tif \(it holds values that are not finite"):
        source.check()
    with pytest.raises(AutointerpError, match=r"a\.tif cannot be read: it holds values that are not finite"):
        load_picture(source.jobs(0, 1, 0)[0], (8, 8))


def test_formats_are_told_by_content(tmp_path: Path) -> None:
    for name, begin, said in [
        ("phone.jpg", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC"),
        ("clip.jpg", b"\0\0\0\x18ftypisom\0\0\0\0isomavc1", "video"),
        ("xl.png", b"\xff\x0a\xfa", "JPEG XL"),
        ("a.png", b"\x89PNG\r\n\x1a\n", ""),
    ]:
        (tmp_path / name).write_bytes(begin + bytes(40))
        assert unsupported(tmp_path / name) == said


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "it is empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "it is a git LFS pointer"),
        (b"<!DOCTYPE html><html>", "it is a web page"),
        (b"no picture at all", "it is no picture that can be read"),
    ],
)
def test_other_files_under_a_pictures_name_are_named(tmp_path: Path, data: bytes, says: str) -> None:
    (tmp_path / "a.png").write_bytes(data)
    with pytest.raises(AutointerpError) as raised:
        load_pictures(tmp_path).check()
    assert f"a.png ({says}" in str(raised.value)
