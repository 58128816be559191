"""A file is written whole, and is never trusted when it is damaged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from autointerp.errors import AutointerpError
from autointerp.search import index_file
from autointerp.search.index_file import read_index, read_note, write_index

from .drawn import KINDS, filled, first_of


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_with_any_byte_changed_or_cut_short_is_damaged(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "i"
    assert read_note(path) is None
    with pytest.raises(AutointerpError, match="missing") as caught:
        read_index(path, "autointerp label --layer mid")
    assert "autointerp label --layer mid" in caught.value.hint
    index, _, _ = filled(150, kind)
    write_index(index, path)
    whole = path.read_bytes()
    assert read_note(path) == index.note == read_index(path).note
    # Every part of the file: its note, its rows, what FAISS wrote, the checksum.
    for at in sorted({*range(0, len(whole), 397), *range(0, 400, 7), len(whole) - 1}):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x10]) + whole[at + 1 :])
        with pytest.raises(AutointerpError, match="damaged"):
            read_index(path)
    for size in (0, 5, 300, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(AutointerpError, match="damaged"):
            read_index(path)
    path.write_bytes(whole + b"x")
    with pytest.raises(AutointerpError, match="damaged"):
        read_index(path)


def test_writing_replaces_whole_and_leaves_nothing_behind(tmp_path: Path) -> None:
    for n in (10, 30):
        write_index(filled(n)[0], tmp_path / "a" / "i")
    assert len(read_index(tmp_path / "a" / "i")) == 30
    assert [p.name for p in (tmp_path / "a").iterdir()] == ["i"]
    (tmp_path / "file").write_text("")
    with pytest.raises(AutointerpError, match="cannot write"):
        write_index(filled(3)[0], tmp_path / "file" / "i")


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="the system does not tell what is mapped")
@pytest.mark.parametrize("kind", KINDS)
def test_an_index_is_read_where_it_lies_and_stays_when_the_file_is_replaced(kind: str, tmp_path: Path) -> None:
    index, rows, vectors = filled(150, kind)
    write_index(index, tmp_path / "i")
    read = read_index(tmp_path / "i")
    assert _lies_in_a_file(read.stored())
    assert _lies_in_a_file(read.slots.ids)
    write_index(filled(20)[0], tmp_path / "i")
    assert np.array_equal(read.stored(), vectors)
    for groups in (None, rows.groups[:40]):
        found, expected = (one.search(vectors[:3], 5, groups) for one in (read, index))
        assert np.array_equal(found.ids, expected.ids)
        assert np.allclose(found.similarities, expected.similarities, atol=1e-6)
    # What was not changed is written as it was.
    write_index(read, tmp_path / "again")
    write_index(index, tmp_path / "made")
    assert (tmp_path / "again").read_bytes() == (tmp_path / "made").read_bytes()
    # What is changed is in memory.
    read.remove(rows.ids[:50])
    read.add(rows[np.arange(50)], vectors[:50])
    assert not _lies_in_a_file(read.stored())
    assert np.mean(first_of(read, vectors) == rows.ids) > 0.95


def _lies_in_a_file(array: np.ndarray) -> bool:
    """Tell whether an array's memory is a mapped file, that of an index."""
    at = array.__array_interface__["data"][0]
    for line in Path("/proc/self/maps").read_text().splitlines():
        begin, end = (int(part, 16) for part in line.split()[0].split("-"))
        if begin <= at < end:
            return "/i" in line
    raise AssertionError


def test_vectors_that_are_not_aligned_are_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index, _, vectors = filled(151)
    monkeypatch.setattr(index_file, "_ALIGNED", 1)
    write_index(index, tmp_path / "i")
    monkeypatch.undo()
    read = read_index(tmp_path / "i")
    assert read.stored().flags.writeable
    assert np.array_equal(read.stored(), vectors)
