"""Folders of real pictures: what counts, in which order, under which caption, cut how."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from autointerp.crops.split import split_of
from autointerp.diffusion.sources.picture_files import kept_size, load_picture
from autointerp.diffusion.sources.pictures import PictureFolder, load_pictures
from autointerp.errors import AutointerpError


def plain(path: Path, size: tuple[int, int] = (8, 8), color: object = "red", **how: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, color).save(path, **how)  # type: ignore[arg-type]
    return path


def test_a_folder_is_read_in_the_order_of_names_each_content_once(tmp_path: Path) -> None:
    plain(tmp_path / "b.png", color="green")
    plain(tmp_path / "a" / "z.jpg", color="blue")
    plain(tmp_path / "copy of b.png", color="green")
    plain(tmp_path / ".hidden" / "a.png", color="white")
    (tmp_path / "notes.md").write_text("no picture")
    source = load_pictures(tmp_path)
    assert [one.path.name for one in source.photographs] == ["z.jpg", "b.png"]
    assert source.count == 2
    jobs = source.jobs(0, 10, 50)
    assert [(job.index, job.seed) for job in jobs] == [(0, 50), (1, 51)]
    assert source.jobs(1, 2, 50) == jobs[1:]
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


def test_pictures_without_a_caption_are_split_by_their_content(tmp_path: Path) -> None:
    for i in range(40):
        plain(tmp_path / f"{i:02}.png", color=(i, 0, 0))
    (tmp_path / "00.txt").write_text("said")
    jobs = load_pictures(tmp_path).jobs(0, 40, 0)
    assert jobs[0].alike == "said"
    assert jobs[1].picture is not None
    assert jobs[1].alike == jobs[1].picture.sha256
    # On both sides, and by nothing that another run or seed changes.
    assert {split_of(job.alike) for job in jobs} == {"explain", "score"}
    assert [job.alike for job in load_pictures(tmp_path).jobs(0, 40, 9)] == [job.alike for job in jobs]


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
    assert "2 of 3 pictures" in str(raised.value)
    assert "torn.jpg" in str(raised.value)
    assert "none.png" in str(raised.value)
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


def test_files_that_are_left_out_are_counted_by_reason(tmp_path: Path) -> None:
    for n in range(3):
        plain(tmp_path / f"{n}.png", color=(n, 0, 0))
    (tmp_path / "0.txt").write_text("a caption")
    assert load_pictures(tmp_path).found().what == "3 pictures, 1 with a caption"
    (tmp_path / "a.HEIC").write_bytes(b"x")
    (tmp_path / "b.jpg").write_bytes(b"\0\0\0\x18ftypheic" + bytes(20))
    assert load_pictures(tmp_path).found().what == "3 pictures, 1 with a caption, 2 left out (HEIC)"
    plain(tmp_path / ".thumbs" / "a.png")
    (tmp_path / ".DS_Store").write_bytes(b"x")
    (tmp_path / "notes.md").write_text("x")
    (tmp_path / "c.xyz").write_bytes(b"x")
    plain(tmp_path / "again.png", color=(0, 0, 0))
    found = load_pictures(tmp_path).found()
    assert found.what == "3 pictures, 1 with a caption, 4 left out (2 HEIC, 1 hidden, 1 unknown suffix .xyz)"
    assert found.notes == ("1 file left out, whose content came before",)
    (tmp_path / "only").mkdir()
    (tmp_path / "only" / "a.heic").write_bytes(b"x")
    with pytest.raises(AutointerpError, match=r"no picture in .* that can be read, 1 left out \(HEIC\)"):
        load_pictures(tmp_path / "only")


def test_the_check_says_what_was_taken(tmp_path: Path) -> None:
    plain(tmp_path / "a.png")
    frames = [Image.new("RGB", (8, 8), color) for color in ("red", "lime")]
    frames[0].save(tmp_path / "b.gif", save_all=True, append_images=frames[1:])
    assert load_pictures(tmp_path).check() == ["1 picture: first frame of an animation"]
