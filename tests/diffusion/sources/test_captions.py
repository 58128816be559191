"""Captions of pictures."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from autointerp.diffusion.sources.pictures import load_pictures
from autointerp.errors import AutointerpError


def plain(path: Path, size: tuple[int, int] = (8, 8), color: object = "red", **how: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, color).save(path, **how)  # type: ignore[arg-type]
    return path


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


def test_captions_of_kohyas_scripts(tmp_path: Path) -> None:
    for n in range(4):
        plain(tmp_path / "10_red_thing" / f"{n}.png", color=(n, 0, 0))
    plain(tmp_path / "2023_holiday" / "a.png", color="blue")
    (tmp_path / "10_red_thing" / "0.caption").write_text("of a caption file\n")
    (tmp_path / "10_red_thing" / "1.txt").write_bytes("of a text file".encode("utf-16"))
    (tmp_path / "10_red_thing" / "2.txt").write_text("tags, of, a, tagger")
    (tmp_path / "10_red_thing" / "2.caption").write_text("another")
    source = load_pictures(tmp_path)
    captions = {one.path.name: one.caption for one in source.photographs}
    assert captions == {
        "0.png": "of a caption file",
        "1.png": "of a text file",
        "2.png": "tags, of, a, tagger",
        "3.png": "red thing",
        "a.png": "",
    }
    assert source.found().what == "5 pictures, 4 with a caption"
    assert source.found().notes == (
        "the name of the folder 10_red_thing is the caption of 1 picture",
        "1 picture with a .txt and a .caption that differ: .txt is read",
    )


def test_a_caption_that_is_no_text_is_named(tmp_path: Path) -> None:
    plain(tmp_path / "a.png")
    (tmp_path / "a.caption").write_bytes(b"PK\x03\x04")
    with pytest.raises(AutointerpError, match=r"a\.caption is a ZIP archive"):
        load_pictures(tmp_path)
