"""The file of an index: a note, the rows, the vectors, and a checksum at the end.

A file is written beside the old one and moved into place whole. A file that is damaged, or of an older form, is never
used: an index can always be made again from the database.
"""

from __future__ import annotations

import json
import mmap
import os
import zlib
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import IO

import numpy as np

from autointerp.errors import AutointerpError
from autointerp.files import whole_file
from autointerp.search.rows import SLOT, Rows
from autointerp.search.vector_index import IndexNote, VectorIndex, load_faiss

_MAGIC = b"autointerp index 3\n"
_CHUNK = 2**20
_ALIGNED = 64
"""Vectors begin at a multiple of this many bytes."""
_CHECKSUM = 4
"""Bytes of the checksum."""


class _OlderForm(ValueError):
    """The index was written by an earlier version."""


class _ChecksummedFile:
    """A file that is written in a row, with the checksum of everything so far."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file, self.crc = file, 0

    def write(self, data: bytes | memoryview) -> int:
        self.crc = zlib.crc32(data, self.crc)
        return self.file.write(data)

    @property
    def checksum(self) -> bytes:
        """The checksum as it stands at the end of a file."""
        return self.crc.to_bytes(_CHECKSUM, "little")


def write_index(index: VectorIndex, path: Path) -> None:
    """Write an index in one file. A reader sees the old file or the new one, never a part.

    Raises:
        AutointerpError: The file cannot be written.
    """
    # An index can be made again from the database, so writing one does not wait for the disk.
    with whole_file(path, f"the index {path}", durable=False) as partial:
        path.parent.mkdir(parents=True, exist_ok=True)
        table = index.slots.table(index.live)
        note = _MAGIC + json.dumps(asdict(index.note)).encode()
        # Blanks, so that the vectors can be used where they lie in the file.
        note += b" " * (-(len(note) + 1 + table.nbytes) % _ALIGNED) + b"\n"
        with partial.open("wb") as file:
            checked = _ChecksummedFile(file)
            if index.kind == "flat":
                _reserve(file, len(note) + table.nbytes + index.stored().nbytes + _CHECKSUM)
            checked.write(note)
            checked.write(table.tobytes())
            _write_vectors(index, checked)
            file.write(checked.checksum)


def _write_vectors(index: VectorIndex, file: _ChecksummedFile) -> None:
    """Write a flat index's vectors as they lie in memory, twice as fast as FAISS does; a graph by FAISS."""
    if index.kind == "flat":
        file.write(index.stored().reshape(-1).view(np.uint8).data)
        return
    faiss = load_faiss()
    try:
        faiss.write_index(index.faiss_index, faiss.PyCallbackIOWriter(file.write, _CHUNK))
    except RuntimeError as error:
        # FAISS does not pass on the system's error.
        raise OSError(str(error)) from error


def _reserve(file: IO[bytes], size: int) -> None:
    """Reserve room for a file, where the system can.

    Without this, ext4 flushes a file to the disk when it replaces another one. The writes that follow notice a full
    disk.
    """
    if hasattr(os, "posix_fallocate"):
        with suppress(OSError):
            os.posix_fallocate(file.fileno(), 0, size)


def read_note(path: Path) -> IndexNote | None:
    """Return the note of the index at `path`; None where there is no index."""
    try:
        with path.open("rb") as file:
            return _read_note(file)
    except (OSError, ValueError, TypeError):
        return None


def _read_note(file: IO[bytes]) -> IndexNote:
    """Read the note at the beginning of a file; raises `ValueError` or `TypeError` where this is no index."""
    begin = file.readline(len(_MAGIC))
    if begin != _MAGIC:
        raise _OlderForm if begin.startswith(_MAGIC.rstrip(b"0123456789\n")) else ValueError("this is no index")
    return IndexNote(**json.loads(file.readline(_CHUNK)))


def read_index(path: Path, rebuilt_by: str = "autointerp label") -> VectorIndex:
    """Read an index.

    Raises:
        AutointerpError: The file is missing, damaged or of an older form; the hint says which command rebuilds it.
    """
    hint = f"it is rebuilt by `{rebuilt_by}`"
    try:
        with path.open("rb") as file:
            note = _read_note(file)
            begin = file.tell()
            is_whole = _is_whole(file)
            # A file that is written anew takes the place of this one, which stays as it is while it is mapped.
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        table = np.frombuffer(mapped, SLOT, note.size + note.removed, begin)
        vectors = _vectors_in(mapped, begin + table.nbytes, note) if is_whole else None
        if vectors is None:
            raise ValueError("its checksum is another one")
        live = table["live"].astype(bool)
        index = VectorIndex(vectors, Rows.from_table(table), live, note.embedder, note.fingerprint, note.kind)
    except FileNotFoundError:
        raise AutointerpError(f"the index {path} is missing", hint) from None
    except _OlderForm:
        raise AutointerpError(f"the index {path} is of an older form", hint) from None
    except (OSError, RuntimeError, ValueError, TypeError, LookupError, MemoryError) as error:
        raise AutointerpError(f"the index {path} is damaged", hint) from error
    count = len(vectors) if note.kind == "flat" else index.faiss_index.ntotal
    if count != len(index.slots) or index.note != note:
        raise AutointerpError(f"the index {path} is damaged", hint)
    return index


def _is_whole(file: IO[bytes]) -> bool:
    """Read a file to its end; tell whether the checksum there is that of everything before it."""
    size, crc = os.fstat(file.fileno()).st_size - _CHECKSUM, 0
    file.seek(0)
    while size > 0 and (part := file.read(min(size, _CHUNK))):
        crc = zlib.crc32(part, crc)
        size -= len(part)
    return size == 0 and file.read() == crc.to_bytes(_CHECKSUM, "little")


def _vectors_in(mapped: mmap.mmap, begin: int, note: IndexNote) -> np.ndarray:
    """Return what `VectorIndex` takes of a mapped file, which takes no memory of the process's own."""
    size = len(mapped) - _CHECKSUM - begin
    if note.kind != "flat":
        return np.frombuffer(mapped, np.uint8, size, begin)
    if size != 4 * note.size * note.dim:
        raise ValueError("vectors are missing")
    if not size:
        return np.zeros((0, note.dim), np.float32)
    vectors = np.frombuffer(mapped, np.float32, note.size * note.dim, begin).reshape(note.size, note.dim)
    # Earlier versions did not align them.
    return vectors if begin % _ALIGNED == 0 else vectors.copy()
