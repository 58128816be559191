"""What a file is by its first bytes, where it should be weights, a picture or a text and is something else.

Downloads go wrong in a few known ways: the pointer of a large-file store is copied in place of the file, a web page is
saved under its name, an archive is never unpacked. Libraries call all of these "cut short", or read them as text.
"""

from __future__ import annotations

import codecs
import json
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path

from autointerp.errors import AutointerpError

_HEAD = 1024
_LONGEST_HEADER = 100_000_000
"""Bytes of the longest header that safetensors reads."""
_AGAIN = "copy or fetch it again"
_UNPACK = "unpack it first"
_SAVE = "save its tensors by their original names with safetensors or torch.save"
_OTHER = "name the file of the weights"
_AS_CSV = "export the column as CSV"
_AS_TEXT = "write its texts as a text file"
_LONGEST_TEXT = 1 << 20
"""A larger file is not read to see whether it is JSON alone."""


@dataclass(frozen=True)
class FileType:
    """What a file is.

    Attributes:
        name: A noun with its article.
        hint: What to do where weights are wanted; empty for a type that may hold some.
        text_hint: What to do where a text is wanted; empty for a type that only files of weights are told by.
    """

    name: str
    hint: str
    text_hint: str = ""


def _both(name: str, hint: str) -> FileType:
    return FileType(name, hint, hint)


_PULL = _both(
    "a git LFS pointer, not the file that it stands for", "run `git lfs pull` where it was cloned, or fetch it again"
)
_ANNEX = _both("a git-annex pointer, not the file that it stands for", "run `git annex get` where it was cloned")
_XET = _both("a Xet pointer, not the file that it stands for", "run `git xet checkout`, or fetch it again")
_POINTER_TYPES = (_PULL, _ANNEX, _XET)
_PAGE = FileType(
    "a web page, as of an error or a login", "fetch it again, logged in where that is needed", "download the raw file"
)
PARQUET_TABLE = FileType("a Parquet table", _OTHER, "let its name end in .parquet")
PICTURE = FileType("a picture", _OTHER, "name a folder of pictures as images_dir, or a text file")
_TYPES: tuple[tuple[bytes, FileType], ...] = (
    (rb"version https://(git-lfs|hawser)", _PULL),
    (rb"/annex/objects/", _ANNEX),
    (rb"# xet version", _XET),
    (rb"PAR1", PARQUET_TABLE),
    (rb"ARROW1|FEA1", FileType("an Arrow table", _OTHER, "save it as .parquet or .csv")),
    # torch.save writes ZIP archives and pickles.
    (rb"PK\x03\x04", FileType("a ZIP archive or a spreadsheet", "", "unpack it, or save the sheet as CSV UTF-8")),
    (rb"\x80[\x02-\x05]", FileType("a Python pickle", "", _AS_TEXT)),
    (rb"\xd0\xcf\x11\xe0", FileType("an old spreadsheet or document of Office", _OTHER, "save it as CSV UTF-8")),
    (rb"\x1f\x8b\x08", _both("a gzip archive", _UNPACK)),
    (rb"BZh\d", _both("a bzip2 archive", _UNPACK)),
    (rb"\xfd7zXZ\x00", _both("an xz archive", _UNPACK)),
    (rb"\x28\xb5\x2f\xfd", _both("a zstd archive", _UNPACK)),
    (rb"7z\xbc\xaf", _both("a 7z archive", _UNPACK)),
    (rb"Rar!", _both("a rar archive", _UNPACK)),
    (rb".{257}ustar", _both("a tar archive", _UNPACK)),
    (rb"\x89PNG|\xff\xd8\xff|GIF8|RIFF.{4}WEBP|II\*\x00|MM\x00\*", PICTURE),
    (rb"%PDF-", FileType("a PDF document", _OTHER, "save its text as UTF-8")),
    (rb"\{\\rtf", FileType("a document in Rich Text Format", _OTHER, "save it as plain text")),
    (rb"SQLite format 3\x00", FileType("an SQLite database", _OTHER, _AS_CSV)),
    (rb"\x89HDF\r\n", FileType("an HDF5 file", _SAVE, _AS_CSV)),
    (rb"\x93NUMPY", FileType("a NumPy array (.npy)", _SAVE, _AS_TEXT)),
    (rb"GGUF", FileType("a GGUF model", _SAVE, "name a text file")),
    (rb"\s*<(?i:!doctype html|html\b)", _PAGE),
    # A prompt may begin with a word in angle brackets, as the tokens of textual inversion are written.
    (rb"\s*<(?i:head\b)", FileType(_PAGE.name, _PAGE.hint)),
    (rb"\s*<(?i:\?xml|error>)", FileType("an XML page, as of a server's error", _AGAIN)),
)
"""Regular expressions of the first bytes."""
_SUFFIXES = {
    ".npz": FileType("a NumPy archive (.npz)", _SAVE),
    ".npy": FileType("a NumPy array (.npy)", _SAVE),
    ".gguf": FileType("a GGUF model", _SAVE),
    ".onnx": FileType("an ONNX model", _SAVE),
    ".h5": FileType("an HDF5 file", _SAVE),
    ".msgpack": FileType("a Flax file", _SAVE),
    ".tflite": FileType("a TensorFlow Lite model", _SAVE),
}
"""Types that are told by the name where the first bytes do not tell them."""


def text_type(data: bytes) -> FileType | None:
    """Return what the file is that some bytes begin; None where they may be text."""
    return next((kind for kind in _types(data) if kind.text_hint), None)


def text_type_of(path: Path) -> FileType | None:
    """Return what a file is; None where it may be text, or cannot be read."""
    return text_type(_head(path) or b"")


def pointer_type(path: Path) -> FileType | None:
    """Return which store a file is a pointer of; None for a file that is no pointer, or cannot be read."""
    return next((kind for kind in _types(_head(path) or b"") if kind in _POINTER_TYPES), None)


def check_no_pointer(path: Path) -> None:
    """Refuse a pointer of a large-file store.

    Raises:
        AutointerpError: The file is one; the hint says how to get the file.
    """
    if (found := pointer_type(path)) is not None:
        raise AutointerpError(f"{path} is {found.name}", found.hint)


def check_may_be_weights(path: Path) -> None:
    """Refuse a file that is known to hold no weights.

    Raises:
        AutointerpError: It is something else; see `foreign_type`.
    """
    if (found := foreign_type(path)) is not None:
        noun = "" if found in _POINTER_TYPES else ", no file of weights"
        raise AutointerpError(f"{path} is {found.name}{noun}", found.hint)


def foreign_type(path: Path) -> FileType | None:
    """Return what a file is that should hold weights; None where it may well hold some, or cannot be read."""
    head = _head(path)
    if head is None:
        return None
    if not head:
        return FileType("an empty file", _AGAIN)
    if _begins_safetensors(head):
        return None
    if head.startswith(b"PK"):
        return _archive(path)
    if (found := next((kind for kind in _types(head) if kind.hint), None)) is not None:
        return found
    if len(head) == _HEAD and not any(head):
        return FileType("a file of zeros, as an unfinished download leaves it", _AGAIN)
    return _SUFFIXES.get(path.suffix.lower()) or _text(path, head)


def _head(path: Path) -> bytes | None:
    try:
        with path.open("rb") as file:
            return file.read(_HEAD)
    except OSError:
        return None


def _types(data: bytes) -> list[FileType]:
    """Return the types that the first bytes of a file fit; a byte order mark before them is passed over."""
    bare = data[:_HEAD].removeprefix(codecs.BOM_UTF8)
    return [kind for begin, kind in _TYPES if re.match(begin, bare, re.DOTALL)]


def _begins_safetensors(head: bytes) -> bool:
    """Return whether a file begins with a header of safetensors, whose length may look like another signature."""
    return head[8:9] == b"{" and 0 < int.from_bytes(head[:8], "little") <= _LONGEST_HEADER


def _archive(path: Path) -> FileType | None:
    """Return the type of a zip file; None for one that torch wrote, or that is cut short."""
    try:
        with zipfile.ZipFile(path) as opened:
            names = opened.namelist()
    except (zipfile.BadZipFile, OSError):
        return None
    if any("/code/" in name for name in names) and any(name.endswith("constants.pkl") for name in names):
        return FileType("a TorchScript program", "save the tensors alone: torch.save(model.state_dict(), 'weights.pt')")
    if any(name.endswith("data.pkl") for name in names):
        return None
    if names and all(name.endswith(".npy") for name in names):
        return _SUFFIXES[".npz"]
    return FileType("a zip archive", _UNPACK)


def _text(path: Path, head: bytes) -> FileType | None:
    """Return the type of JSON that was saved under the name of a file."""
    start = head.removeprefix(codecs.BOM_UTF8).lstrip()
    if not start.startswith((b"{", b"[")) or path.stat().st_size > _LONGEST_TEXT:
        return None
    try:
        json.loads(path.read_bytes())
    except ValueError:
        return None
    return FileType("JSON alone, without tensors", _AGAIN)
