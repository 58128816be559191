"""Lists of captions in a folder of pictures, as data sets have them: `metadata.jsonl`, `.csv`, `.parquet`, `.json`."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from autointerp.diffusion.sources.lines import TEXT_KEYS, json_line
from autointerp.diffusion.sources.protocol import counted
from autointerp.diffusion.sources.rows import PARQUET, ParquetRows
from autointerp.errors import AutointerpError, UsageError, nearest
from autointerp.tables import SUFFIXES, read_table
from autointerp.text_files import read_text

LISTS = tuple(
    f"{stem}{suffix}"
    for stem in ("captions", "metadata", "meta_cap", "meta_lat")
    for suffix in (".jsonl", *SUFFIXES, PARQUET, ".json")
)
"""Names of files that list captions: those of the library `datasets`, of kohya's scripts, and of this project."""
FILE_KEYS = ("file_name", "file", "filename", "image", "image_path", "path")
_WRITE = 'write {"file_name": "a.png", "caption": "..."}'


@dataclass
class CaptionList:
    """The captions of a list.

    Attributes:
        path: The list.
        captions: (place, name of the file as it is listed, caption).
        strict: Whether a file that is not there is an error; files of annotations often are of more pictures.
        notes: What was taken, or could not be.
    """

    path: Path
    captions: list[tuple[str, str, str]] = field(default_factory=list)
    strict: bool = True
    notes: list[str] = field(default_factory=list)


def listed_captions(
    folder: Path, lists: Collection[Path], pictures: Collection[str]
) -> tuple[dict[str, str], list[str]]:
    """Read the lists of a folder.

    Args:
        folder: The folder.
        lists: The lists in it and in the folders in it; names in a list start at the list's own folder.
        pictures: The paths, within the folder, of all pictures, those included that cannot be opened.

    Returns:
        Path within the folder -> caption; and notes.

    Raises:
        AutointerpError: A list is no text, has a bad line, or two lists differ in a caption.
        UsageError: A line names a picture that is not there.
    """
    known = {unicodedata.normalize("NFC", path): path for path in pictures}
    found: dict[str, tuple[str, Path]] = {}
    notes: list[str] = []
    for path in sorted(lists):
        read = _read(path)
        absent = 0
        for place, name, caption in read.captions:
            picture = _picture(name, path.parent.relative_to(folder).as_posix(), known)
            if picture is None and read.strict:
                raise UsageError(f"{place}: there is no picture {name!r}", nearest(name, sorted(pictures)))
            if picture is None:
                absent += 1
                continue
            text = " ".join(caption.split())
            said, by = found.setdefault(picture, (text, path))
            if by != path and said != text:
                raise AutointerpError(f"{by} and {path} give {picture} other captions", "keep one of the lists")
        notes += read.notes
        if absent:
            notes.append(f"{path.name}: {counted(absent, 'caption')} of pictures that are not there")
    return {picture: text for picture, (text, _) in found.items() if text}, notes


def _picture(name: str, beside: str, known: Mapping[str, str]) -> str | None:
    """Return the picture that a list means, by its path from the list's folder, or by its name or stem there."""
    plain = PurePosixPath(unicodedata.normalize("NFC", name.replace("\\", "/")))
    # Some tools write whole paths, which were those of another machine.
    whole = plain.is_absolute() or plain.as_posix()[1:2] == ":"
    for guess in (plain, *([PurePosixPath(plain.name)] if whole else [])):
        if (path := (PurePosixPath(beside) / guess).as_posix()) in known:
            return known[path]
    wanted = PurePosixPath(beside) / (plain.name if whole else plain)
    stems = [] if plain.suffix else [path for path in known if PurePosixPath(path).with_suffix("") == wanted]
    return known[stems[0]] if len(stems) == 1 else None


def _read(path: Path) -> CaptionList:
    """Read a list by its ending."""
    suffix = path.suffix.lower()
    try:
        if suffix in SUFFIXES:
            return _of_table(path)
        if suffix == PARQUET:
            return _of_parquet(path)
        text = read_text(path)
    except OSError as error:
        raise AutointerpError(
            f"{path} cannot be read: {error.strerror}", "check its permissions, or remove it"
        ) from None
    if suffix == ".json":
        return _of_json(path, text)
    found = CaptionList(path)
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            where = f"{path}, line {number}"
            found.captions.append(_entry(json_line(line, where, _WRITE), where))
    return found


def _entry(entry: Mapping[str, Any], where: str) -> tuple[str, str, str]:
    """Return the file and the caption of an object."""
    file = next((entry[key] for key in FILE_KEYS if entry.get(key) is not None), None)
    caption = next((entry[key] for key in TEXT_KEYS if entry.get(key) is not None), "")
    if not isinstance(file, str) or not isinstance(caption, str):
        raise AutointerpError(f"{where}: there is no file_name with a caption", _WRITE)
    return where, file, caption


def _columns(path: Path, names: Collection[str], file: str | None, caption: str | None) -> CaptionList | None:
    """Return a list without captions where a table has no column of them; None where it has.

    Raises:
        AutointerpError: There are captions, and no column of files.
    """
    if caption is None:
        shown = ", ".join(filter(None, names)) or "none"
        return CaptionList(path, notes=[f"{path.name} has no column of captions ({', '.join(TEXT_KEYS)}): {shown}"])
    if file is None:
        raise AutointerpError(f"{path} has no column file_name", "add one with the name of each picture")
    return None


def _of_table(path: Path) -> CaptionList:
    table = read_table(path, (*FILE_KEYS, *TEXT_KEYS))
    file, caption = table.column(*FILE_KEYS), table.column(*TEXT_KEYS)
    named = [None if one is None else table.header[one] for one in (file, caption)]
    if (none := _columns(path, table.header, *named)) is not None or file is None or caption is None:
        return none or CaptionList(path)
    found = CaptionList(path, notes=_chosen(path, table.header, table.header[caption]))
    for row in table.whole_rows():
        found.captions.append((f"{path}, line {row.line}", row.cells[file].strip(), row.cells[caption]))
    return found


def _of_parquet(path: Path) -> CaptionList:
    rows = ParquetRows(path)
    file, caption = (
        next((name for key in keys for name in rows.column_names if name.lower() == key), None)
        for keys in (FILE_KEYS, TEXT_KEYS)
    )
    if (none := _columns(path, rows.column_names, file, caption)) is not None or file is None or caption is None:
        return none or CaptionList(path)
    found = CaptionList(path, notes=_chosen(path, rows.column_names, caption))
    for number, row in enumerate(ParquetRows(path, [file, caption]), 1):
        where = f"{path}, row {number}"
        found.captions.append(_entry({"file_name": row[file], "caption": row[caption]}, where))
    return found


def _chosen(path: Path, names: Collection[str], caption: str) -> list[str]:
    """Return a note where several columns could be captions."""
    several = [name for name in names if name.lower() in TEXT_KEYS]
    return [f"{path.name}: of {', '.join(several)}, {caption} is taken"] if len(several) > 1 else []


def _of_json(path: Path, text: str) -> CaptionList:
    """Read annotations in JSON: a list of objects, an object by file, or images and annotations as COCO has them."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise AutointerpError(f"{path}: no JSON ({error})", "mend it, or remove it") from None
    found = CaptionList(path, strict=False)
    for number, (file, said) in enumerate(_pairs(value), 1):
        caption = next((said[key] for key in TEXT_KEYS if said.get(key)), None) if isinstance(said, dict) else said
        if isinstance(file, str) and isinstance(caption, str):
            found.captions.append((f"{path}, entry {number}", file, caption))
    if not found.captions:
        found.notes.append(f"{path.name} holds no captions in a form that is known")
    return found


def _pairs(value: Any) -> Iterator[tuple[Any, Any]]:
    """Iterate over (file, its caption or the object that holds it) of annotations."""
    if isinstance(value, list):
        for one in value:
            if isinstance(one, dict):
                yield next((one[key] for key in FILE_KEYS if one.get(key)), None), one
    elif isinstance(value, dict) and isinstance(value.get("annotations"), list):
        images = value.get("images")
        named = (
            {i.get("id"): i.get("file_name") for i in images if isinstance(i, dict)} if isinstance(images, list) else {}
        )
        seen = set()
        for one in value["annotations"]:
            # COCO has five captions a picture; the first is taken.
            if isinstance(one, dict) and one.get("image_id") not in seen:
                seen.add(one.get("image_id"))
                yield named.get(one.get("image_id")), one
    elif isinstance(value, dict):
        yield from value.items()
