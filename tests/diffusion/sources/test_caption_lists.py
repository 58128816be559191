"""Lists of captions, as data sets and kohya's scripts have them."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from autointerp.diffusion.sources.pictures import PictureFolder, load_pictures
from autointerp.errors import AutointerpError, UsageError

NAMES = ("a.png", "deep/b.png", "deep/c.png")
SAID = {"a.png": "one cup", "deep/b.png": "two cups, red", "deep/c.png": ""}


def pictures(folder: Path) -> Path:
    for n, name in enumerate(NAMES):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (n, 0, 0)).save(folder / name)
    return folder


def captions(source: PictureFolder) -> dict[str, str]:
    folder = Path(source.spec).absolute()
    return {one.path.relative_to(folder).as_posix(): one.caption for one in source.photographs}


ROWS = [{"file_name": name, "text": text} for name, text in SAID.items() if text]
COCO: dict[str, Any] = {
    "images": [{"id": n, "file_name": row["file_name"]} for n, row in enumerate(ROWS)]
    + [{"id": 9, "file_name": "z.png"}],
    "annotations": [{"image_id": n, "caption": row["text"]} for n, row in enumerate(ROWS)]
    + [{"image_id": 0, "caption": "said again"}, {"image_id": 9, "caption": "not here"}],
}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("metadata.csv", 'file_name,text\na.png,one cup\ndeep/b.png,"two cups, red"\n'),
        ("metadata.csv", "file_name;text\r\na.png;one cup\r\ndeep\\b.png;two cups, red\r\n"),
        ("metadata.tsv", "file_name\tcaption\n./a.png\tone cup\ndeep/b.png\ttwo cups, red\n"),
        ("captions.csv", 'Caption,FILE_NAME\none cup,a.png\n"two cups, red",deep/b.png\n'),
        ("metadata.jsonl", "\n".join(json.dumps(row) for row in ROWS)),
        ("metadata.json", json.dumps(ROWS, indent=1)),
        ("captions.json", json.dumps({row["file_name"]: row["text"] for row in ROWS})),
        (
            "meta_cap.json",
            json.dumps({"/train/x/a.png": {"caption": "one cup"}, "deep/b": {"caption": "two cups, red"}}),
        ),
        ("captions.json", json.dumps(COCO)),
    ],
)
def test_every_form_is_read(tmp_path: Path, name: str, content: str) -> None:
    (pictures(tmp_path) / name).write_text(content)
    source = load_pictures(tmp_path)
    assert captions(source) == SAID
    assert source.found().what == "3 pictures, 2 with a caption"


def test_parquet_and_lists_in_inner_folders(tmp_path: Path) -> None:
    pq.write_table(pa.table({"file_name": ["a.png"], "text": ["one cup"]}), pictures(tmp_path) / "metadata.parquet")
    (tmp_path / "deep" / "metadata.csv").write_text('file_name,text\nb.png,"two cups, red"\n')
    assert captions(load_pictures(tmp_path)) == SAID


def test_names_are_compared_as_people_write_them(tmp_path: Path) -> None:
    name = "Stück.png"
    Image.new("RGB", (8, 8)).save(tmp_path / unicodedata.normalize("NFD", name))
    (tmp_path / "metadata.csv").write_text(f"file_name,text\n{unicodedata.normalize('NFC', name)},a piece\n")
    assert [one.caption for one in load_pictures(tmp_path).photographs] == ["a piece"]


def test_pictures_that_are_left_out_may_be_listed(tmp_path: Path) -> None:
    (pictures(tmp_path) / "d.heic").write_bytes(b"x")
    (tmp_path / "metadata.csv").write_text("file_name,text\na.png,one\nd.heic,two\n")
    assert load_pictures(tmp_path).found().what == "3 pictures, 1 with a caption, 1 left out (HEIC)"


def test_a_table_without_captions_is_noted(tmp_path: Path) -> None:
    (pictures(tmp_path) / "metadata.csv").write_text("file_name,label\na.png,3\n")
    found = load_pictures(tmp_path).found()
    assert found.what == "3 pictures, 0 with a caption"
    assert found.notes == ("metadata.csv has no column of captions (prompt, caption, text): file_name, label",)
    (tmp_path / "metadata.csv").write_text("file_name,text,prompt\na.png,x,y\n")
    assert load_pictures(tmp_path).found().notes == ("metadata.csv: of text, prompt, prompt is taken",)
    (tmp_path / "metadata.csv").unlink()
    (tmp_path / "captions.json").write_text(json.dumps(COCO))
    assert load_pictures(tmp_path).found().notes == ("captions.json: 1 caption of pictures that are not there",)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("file_name,text\na.png,one cup, red\n", "metadata.csv, line 2: it has more cells"),
        ('file_name,text\na.png,"one cup\n', "line 2: a quote opens there and does not close"),
        ("text,likes\none,3\n", "has no column file_name"),
        ("file_name,text\nA.png,one\n", "line 2: there is no picture 'A.png': did you mean 'a.png'"),
        ("file_name,text,text\na.png,one,two\n", "the column 'text' twice"),
    ],
)
def test_what_is_not_clear_is_refused(tmp_path: Path, content: str, says: str) -> None:
    (pictures(tmp_path) / "metadata.csv").write_text(content)
    with pytest.raises((AutointerpError, UsageError)) as raised:
        load_pictures(tmp_path)
    assert says in str(raised.value)


def test_two_lists_that_differ_are_refused(tmp_path: Path) -> None:
    (pictures(tmp_path) / "metadata.csv").write_text("file_name,text\na.png,one\n")
    (tmp_path / "metadata.jsonl").write_text('{"file_name": "a.png", "text": "one"}\n{"file_name": "deep/b.png"}\n')
    assert load_pictures(tmp_path).found().what == "3 pictures, 1 with a caption"
    (tmp_path / "metadata.jsonl").write_text('{"file_name": "a.png", "text": "another"}\n')
    with pytest.raises(AutointerpError, match=r"give a\.png other captions"):
        load_pictures(tmp_path)
