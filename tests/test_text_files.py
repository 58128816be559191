"""Text files: decoded by their mark, or named for what they are."""

from __future__ import annotations

import gzip
import io
import pickle
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from autointerp.errors import AutointerpError
from autointerp.text_files import decode_text, read_text


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_a_mark_says_the_encoding(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "a.txt").write_bytes("ein Stück\r\nzwei".encode(encoding))
    assert read_text(tmp_path / "a.txt") == "ein Stück\r\nzwei"
    big = "\ufeffein Stück".encode("utf-16-be")
    assert decode_text(big, "a.txt") == "ein Stück"


def _zip() -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr("xl/workbook.xml", "<workbook/>")
    return data.getvalue()


def _parquet() -> bytes:
    data = io.BytesIO()
    pq.write_table(pa.table({"prompt": ["a"]}), data)
    return data.getvalue()


def _picture(form: str) -> bytes:
    data = io.BytesIO()
    Image.new("RGB", (4, 4)).save(data, form)
    return data.getvalue()


OTHERS = {
    "Parquet table": _parquet(),
    "ZIP archive": _zip(),
    "gzip archive": gzip.compress(b"a red cup"),
    "Python pickle": pickle.dumps(["a red cup"], 4),
    "git LFS pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 3\n",
    "web page": b"\n<!DOCTYPE html>\n<html><body>a</body></html>",
    "PDF": b"%PDF-1.7\n",
    "Rich Text": b"{\\rtf1\\ansi a red cup}",
    "SQLite": b"SQLite format 3\x00",
    **{f"picture {form}": _picture(form) for form in ("PNG", "JPEG", "GIF", "WEBP", "TIFF")},
}


@pytest.mark.parametrize("kind", OTHERS)
def test_other_files_are_named(kind: str) -> None:
    with pytest.raises(AutointerpError, match=kind.split()[0]) as raised:
        decode_text(OTHERS[kind], "p.txt")
    assert "p.txt" in raised.value.message
    assert raised.value.hint


@pytest.mark.parametrize(
    ("data", "says"),
    [(b"fine\ncaf\xe9", r"line 2"), ("a cup".encode("utf-16-le"), "NUL"), (b"\xff\xfea", "not text")],
)
def test_what_is_no_utf_8_is_refused(data: bytes, says: str) -> None:
    with pytest.raises(AutointerpError, match=says) as raised:
        decode_text(data, "p.txt")
    assert "UTF-8" in str(raised.value)
