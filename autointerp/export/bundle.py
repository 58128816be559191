"""A bundle: one folder with a dictionary, its labels, its crops, and its provenance.

A bundle is written whole or not at all. It is read only if every file has the hash that the manifest names. No file
outside the folder is ever read because a bundle names it.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from autointerp.errors import AutointerpError
from autointerp.export.card import SHEET, render_card
from autointerp.export.folder import whole_folder
from autointerp.export.parquet import Table, write_label_table, write_rows
from autointerp.export.rows import ExportRow, read_lines, write_lines
from autointerp.files import sha256_of
from autointerp.filetypes import check_no_pointer
from autointerp.hub import cached_files
from autointerp.progress import NullProgress, Progress
from autointerp.texts import to_json

FORMAT = "autointerp-bundle"
VERSION = 3
"""The version of the layout; a newer one is refused.

Version 1 had neither rows nor `labels.parquet`, and version 2 had no checksum of the manifest.
"""
MANIFEST = "manifest.json"
ROWS = "rows"
"""The folder with a Parquet file of each table."""
_AGAIN = "copy or export it again"
_REQUIRED = ("cfg.json", "weights.safetensors", "labels.jsonl", "provenance.json")


@dataclass(frozen=True)
class LabeledBundle:
    """A bundle that was read and found whole.

    Attributes:
        path: Its folder.
        config: The dictionary's configuration.
        provenance: Where the dictionary comes from.
        rows: The labels, one row a feature.
        files: Path inside the bundle -> SHA-256.
        schema: The schema of the database that the bundle's rows come from; empty where it carries none.
        counts: Table -> number of rows that the bundle carries.
    """

    path: Path
    config: dict[str, Any]
    provenance: dict[str, Any]
    rows: tuple[ExportRow, ...]
    files: dict[str, str]
    schema: str = ""
    counts: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class BundleContents:
    """What a bundle is written from.

    Attributes:
        dictionary_dir: The folder with `cfg.json` and `weights.safetensors`, which are copied byte by byte.
        provenance: Name, model, revision, layer, hookpoint, signal and the like, as JSON values without secrets.
        rows: The labels, one row a feature.
        tables: The rows of a database, which an import restores.
        schema: The schema of that database.
        sheet: A picture of some features for the card, as PNG.
    """

    dictionary_dir: Path
    provenance: Mapping[str, Any]
    rows: Sequence[ExportRow]
    tables: Sequence[Table] = ()
    schema: str = ""
    sheet: bytes | None = None


def write_bundle(out_dir: Path, contents: BundleContents, progress: Progress | None = None) -> Path:
    """Write a bundle, in the place of an earlier one; return its path.

    Args:
        out_dir: The folder to make.
        contents: What the bundle holds.
        progress: Shows how many files are written.

    Raises:
        UsageError: The target is a file, or a folder that holds something else.
        AutointerpError: The dictionary is incomplete, or the bundle cannot be written.
    """
    out_dir = out_dir.absolute()
    provenance, tables = contents.provenance, contents.tables
    for name in ("cfg.json", "weights.safetensors"):
        if not (contents.dictionary_dir / name).is_file():
            raise AutointerpError(f"the dictionary {contents.dictionary_dir} lacks {name}", "fit or import it again")
    ordered = sorted(contents.rows, key=lambda row: row.index)
    with (
        whole_folder(out_dir, lambda folder: _format_of(folder) == FORMAT, "a bundle") as partial,
        (progress or NullProgress()).task("export", 6 + len(tables), unit="files") as task,
    ):
        for name in ("weights.safetensors", "cfg.json"):
            shutil.copyfile(contents.dictionary_dir / name, partial / name)
            task.advance()
        write_lines(ordered, partial / "labels.jsonl")
        write_label_table(ordered, partial / "labels.parquet")
        task.advance(2)
        counts = {}
        for table in tables:
            (partial / ROWS).mkdir(exist_ok=True)
            counts[table.name] = write_rows(table, partial / ROWS / f"{table.name}.parquet")
            task.advance()
        if contents.sheet is not None:
            (partial / SHEET).write_bytes(contents.sheet)
        _write_json(partial / "provenance.json", dict(provenance))
        task.advance()
        has_sheet = contents.sheet is not None
        card = render_card(_load_json(partial / "cfg.json"), provenance, ordered, counts, has_sheet)
        (partial / "README.md").write_text(card, encoding="utf-8")
        files = {p.relative_to(partial).as_posix(): sha256_of(p) for p in sorted(partial.rglob("*")) if p.is_file()}
        about = {"format": FORMAT, "version": VERSION, "schema": contents.schema}
        manifest = {**about, "counts": counts, "files": files}
        _write_json(partial / MANIFEST, {**manifest, "checksum": checksum_of(manifest)})
        task.advance()
    return out_dir


def _format_of(folder: Path) -> str:
    """Return the format that a folder's manifest names; empty without a manifest."""
    with suppress(AutointerpError):
        return str(_load_json(folder / MANIFEST).get("format", ""))
    return ""


def _write_json(path: Path, value: Any) -> None:
    text = to_json(value, indent=2, sort_keys=True, default=str)
    path.write_text(text + "\n", encoding="utf-8")


def _load_json(path: Path) -> dict[str, Any]:
    check_no_pointer(path)
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise AutointerpError(f"cannot read {path}", "the bundle is incomplete: copy or export it again") from error
    if not isinstance(value, dict):
        raise AutointerpError(f"{path} holds no JSON object", "the bundle is damaged: copy or export it again")
    return value


def checksum_of(manifest: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a manifest's content, without its own checksum and however the file is laid out."""
    content = {key: value for key, value in manifest.items() if key != "checksum"}
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def read_bundle(path: Path) -> LabeledBundle:
    """Read a bundle, and check every file of it.

    Raises:
        AutointerpError: The folder is no bundle, has a newer version, is incomplete or changed, holds a link, or names
            a path outside itself.
    """
    path = Path(path)
    if not (path / MANIFEST).is_file():
        raise AutointerpError(f"{path} is no bundle (it has no {MANIFEST})", "make one with `autointerp export`")
    links = cached_files(path)
    _check_place(path, MANIFEST, links)
    manifest = _load_json(path / MANIFEST)
    files = _check_manifest(path, manifest)
    for name, digest in files.items():
        _check_place(path, name, links)
        _check_file(path, name, digest)
    try:
        rows = tuple(read_lines(path / "labels.jsonl"))
    except (OSError, UnicodeDecodeError) as error:
        raise AutointerpError(f"cannot read {path / 'labels.jsonl'}", _AGAIN) from error
    if len({row.index for row in rows}) != len(rows):
        raise AutointerpError(f"the bundle {path} labels a feature twice", _AGAIN)
    config, provenance = _load_json(path / "cfg.json"), _load_json(path / "provenance.json")
    schema, counts = manifest.get("schema", ""), manifest.get("counts", {})
    if not isinstance(schema, str) or not isinstance(counts, dict):
        raise _damaged(path, MANIFEST)
    for name in counts:
        if f"{ROWS}/{name}.parquet" not in files:
            raise _incomplete(path, f"{ROWS}/{name}.parquet")
    return LabeledBundle(path, config, provenance, rows, files, schema, counts)


def _check_manifest(path: Path, manifest: Mapping[str, Any]) -> dict[str, str]:
    """Return the files that a manifest names with their hashes; refuse a manifest that is not what was exported."""
    version, files = manifest.get("version"), manifest.get("files")
    if manifest.get("format") != FORMAT or not isinstance(version, int) or not isinstance(files, dict):
        raise AutointerpError(f"{path} is no bundle", "make one with `autointerp export`")
    if version > VERSION:
        raise AutointerpError(
            f"{path} is a bundle of version {version}; this autointerp reads up to {VERSION}", "upgrade autointerp"
        )
    has_checksum = version > 2 or "checksum" in manifest
    if version < 1 or (has_checksum and manifest.get("checksum") != checksum_of(manifest)):
        raise _damaged(path, MANIFEST)
    for name in _REQUIRED:
        if name not in files:
            raise _incomplete(path, name)
    return dict(files)


def _check_file(path: Path, name: str, digest: str) -> None:
    """Refuse a file that is missing, cannot be read, or has another hash than the manifest says."""
    inside = path / name
    if not inside.is_file():
        raise _incomplete(path, name)
    try:
        found = sha256_of(inside)
    except OSError as error:
        raise AutointerpError(f"cannot read {inside}: {error.strerror}", _AGAIN) from error
    if found != digest:
        check_no_pointer(inside)
        raise _damaged(path, name)


def _incomplete(path: Path, name: str) -> AutointerpError:
    return AutointerpError(f"the bundle {path} lacks {name}", _AGAIN)


def _damaged(path: Path, name: str) -> AutointerpError:
    return AutointerpError(f"the bundle {path} is damaged: {name} is not what was exported", _AGAIN)


def _check_place(path: Path, name: str, links: Path | None) -> None:
    """Refuse a name that leads out of the bundle, and a link.

    Args:
        path: The bundle.
        name: A path inside it, as the manifest names it.
        links: The folder of the hub's cache that links may lead into; None allows no link.
    """
    parts = PurePosixPath(name).parts
    odd = any(sign in "\\:" or ord(sign) < 32 for sign in name)
    if not parts or odd or PurePosixPath(name).is_absolute() or ".." in parts:
        raise AutointerpError(f"the bundle {path} names a path outside itself: {name!r}", "do not use it")
    inside = path
    for part in parts:
        inside = inside / part
        if inside.is_symlink() and not (links is not None and inside.resolve().is_relative_to(links)):
            raise AutointerpError(f"the bundle {path} holds a link: {name}", "do not use it, or copy what it links to")
