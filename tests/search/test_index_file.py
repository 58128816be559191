"""A file is written whole, and is never trusted when it is damaged."""

from __future__ import annotations

from pathlib import Path

import pytest

from autointerp.errors import AutointerpError
from autointerp.search.index_file import read_index, read_note, write_index

from .drawn import KINDS, filled


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
