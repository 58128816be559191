"""Folders of real pictures: what counts, in which order, under which caption, cut how."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from autointerp.crops.split import split_of
from autointerp.diffusion.pictures import PictureFolder, kept_size, load_picture, load_pictures
from autointerp.errors import AutointerpError


def plain(path: Path, size: tuple[int, int] = (8, 8), color: object = "red", **how: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, color).save(path, **how)  # type: ignore[arg-type]
    return path


def only(folder: Path, size: tuple[int, int] = (8, 8)) -> np.ndarray:
    (job,) = load_pictures(folder).jobs(0, 9, 0)
    return np.asarray(load_picture(job, size))


def test_a_folder_is_read_in_the_order_of_names_each_content_once(tmp_path: Path) -> None:
    plain(tmp_path / "b.png", color="green")
    plain(tmp_path / "a" / "z.jpg", color="blue")
    plain(tmp_path / "copy of b.png", color="green")
    plain(tmp_path / ".hidden" / "a.png", color="white")
    (tmp_path / "notes.md").write_text("no picture")
    source = load_pictures(tmp_path)
    assert [one.path.name for one in source.photographs] == ["z.jpg", "b.png"] and source.count == 2
    jobs = source.jobs(0, 10, 50)
    assert [(job.index, job.seed) for job in jobs] == [(0, 50), (1, 51)] and source.jobs(1, 2, 50) == jobs[1:]
    # Beyond those that are used where there are any, and with noise of no crop.
    assert {job.picture for job in source.held_out(3, 50, used=1)} == {jobs[1].picture}
    assert {job.picture for job in source.held_out(4, 50, used=2)} == {job.picture for job in jobs}
    assert not {job.seed for job in source.held_out(4, 50, used=2)} & {job.seed for job in jobs}


def test_pictures_are_found_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain(tmp_path / "photos" / "a.png")
    monkeypatch.chdir(tmp_path)
    (job,) = load_pictures(Path("photos")).jobs(0, 1, 0)
    monkeypatch.chdir("/")
    assert load_picture(job, (8, 8)).size == (8, 8)


def test_identity_is_that_of_contents_and_captions(tmp_path: Path) -> None:
    first = load_pictures(plain(tmp_path / "one" / "a.png").parent).identity
    renamed = load_pictures(plain(tmp_path / "two" / "b.png").parent)
    assert renamed.identity == first != load_pictures(tmp_path / "two", inverted=True).identity
    (tmp_path / "two" / "b.txt").write_text("a red field")
    assert load_pictures(tmp_path / "two").identity != first
    assert load_pictures(plain(tmp_path / "three" / "a.png", color="blue").parent).identity != first


def test_captions_lie_beside_or_in_a_list(tmp_path: Path) -> None:
    for name in ("a.png", "deep/b.png", "c.png"):
        plain(tmp_path / name, color=(0, 0, len(name)) if name != "c.png" else "white")
    (tmp_path / "a.txt").write_text(" from beside\n it\n")
    lines = [{"file_name": "a.png", "text": "from the list"}, {"file_name": "deep/b.png", "caption": "the second"}]
    (tmp_path / "metadata.jsonl").write_text("\n".join(json.dumps(line) for line in lines))
    captions = {one.path.name: one.caption for one in load_pictures(tmp_path).photographs}
    assert captions == {"a.png": "from beside it", "b.png": "the second", "c.png": ""}
    (tmp_path / "metadata.jsonl").write_text('{"file_name": "d.png", "text": "x"}')
    with pytest.raises(AutointerpError, match="line 1: there is no picture 'd.png': did you mean"):
        load_pictures(tmp_path)


def test_pictures_without_a_caption_are_split_by_their_content(tmp_path: Path) -> None:
    for i in range(40):
        plain(tmp_path / f"{i:02}.png", color=(i, 0, 0))
    (tmp_path / "00.txt").write_text("said")
    jobs = load_pictures(tmp_path).jobs(0, 40, 0)
    assert jobs[0].alike == "said" and jobs[1].picture is not None and jobs[1].alike == jobs[1].picture.sha256
    # On both sides, and by nothing that another run or seed changes.
    assert {split_of(job.alike) for job in jobs} == {"explain", "score"}
    assert [job.alike for job in load_pictures(tmp_path).jobs(0, 40, 9)] == [job.alike for job in jobs]


def test_cameras_transparency_palettes_and_deep_pixels(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned a quarter to the right
    wide = Image.new("RGB", (16, 8), "red")
    wide.paste("blue", (0, 0, 8, 8))
    (tmp_path / "turned").mkdir()
    wide.save(tmp_path / "turned" / "a.png", exif=exif)
    turned = only(tmp_path / "turned", (8, 16))
    assert turned[0, 4].tolist() == [0, 0, 255] and turned[-1, 4].tolist() == [255, 0, 0]
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


def test_shapes_may_be_kept_at_the_same_area(tmp_path: Path) -> None:
    assert kept_size((4000, 3000), 1024, 64) == "1152x896"
    assert kept_size((500, 500), 96, 8) == 96
    assert kept_size((10_000, 10), 64, 16) == "2016x16"
    plain(tmp_path / "a.jpg", (300, 150))
    (job,) = load_pictures(tmp_path, (96, 8)).jobs(0, 1, 0)
    assert job.size == "136x64"


def test_broken_and_missing_pictures_are_named(tmp_path: Path) -> None:
    good = plain(tmp_path / "good.jpg", (64, 64))
    (tmp_path / "torn.jpg").write_bytes(good.read_bytes()[:400])
    (tmp_path / "none.png").write_bytes(b"no picture at all")
    source = load_pictures(tmp_path)
    with pytest.raises(AutointerpError) as raised:
        source.check()
    assert (
        "2 of 3 pictures" in str(raised.value) and "torn.jpg" in str(raised.value) and "none.png" in str(raised.value)
    )
    torn = next(job for job in source.jobs(0, 3, 0) if job.picture and job.picture.path.name == "torn.jpg")
    with pytest.raises(AutointerpError, match="torn.jpg cannot be read"):
        load_picture(torn, (8, 8))
    PictureFolder("x", source.photographs[:1]).check()
    plain(good, (64, 64), "blue")
    with pytest.raises(AutointerpError, match="was changed"):
        load_picture(source.jobs(0, 1, 0)[0], (8, 8))
    with pytest.raises(AutointerpError, match="is not there"):
        load_pictures(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(AutointerpError, match="no picture in"):
        load_pictures(tmp_path / "empty")
