"""A bundle: one folder that carries a dictionary, its labels, its crops, and where all of it comes from.

A bundle is written whole or not at all, and read only if every file is the one that its manifest names. Nothing
outside the folder is ever read on its behalf.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
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
from autointerp.hub import cached_files
from autointerp.progress import NullProgress, Progress
from autointerp.texts import to_json

FORMAT = "autointerp-bundle"
VERSION = 3
"""Of the layout; a reader refuses a newer one. The first had neither rows nor `labels.parquet`, the second no checksum
of the manifest."""
MANIFEST = "manifest.json"
ROWS = "rows"
"""Folder with a Parquet file of each table."""
_REQUIRED = ("cfg.json", "weights.safetensors", "labels.jsonl", "provenance.json")


@dataclass(frozen=True)
class LabeledBundle:
    """A bundle that was read and found whole."""

    path: Path
    config: dict[str, Any]
    provenance: dict[str, Any]
    rows: tuple[ExportRow, ...]
    files: dict[str, str]
    """Path inside the bundle -> SHA-256."""
    schema: str = ""
    """Revision of the database that its rows come from; empty where it has none."""
    counts: Mapping[str, int] = field(default_factory=dict)
    """Table -> rows that travel."""


def write_bundle(
    out_dir: Path,
    dictionary_dir: Path,
    provenance: Mapping[str, Any],
    rows: Sequence[ExportRow],
    tables: Iterable[Table] = (),
    schema: str = "",
    sheet: bytes | None = None,
    progress: Progress | None = None,
) -> Path:
    """Write a bundle, replacing one of an earlier export; returns its path.

    Args:
        out_dir: the folder to make.
        dictionary_dir: holds `cfg.json` and `weights.safetensors`, which are copied byte by byte.
        provenance: name, model, revision, layer, hookpoint, signal and the like; JSON values, no secrets.
        rows: one a feature.
        tables: rows of a database, which an import restores.
        schema: revision of that database.
        sheet: a picture of some features as PNG, for the card.
        progress: told of each file.

    Raises:
        UsageError: the target is a file or a folder of something else.
        AutointerpError: the dictionary is incomplete, or the disk refuses.
    """
    out_dir = out_dir.absolute()
    for name in ("cfg.json", "weights.safetensors"):
        if not (dictionary_dir / name).is_file():
            raise AutointerpError(f"the dictionary {dictionary_dir} lacks {name}", "fit or import it again")
    ordered = sorted(rows, key=lambda row: row.index)
    tables = list(tables)
    with (
        whole_folder(out_dir, lambda folder: _format_of(folder) == FORMAT, "a bundle") as partial,
        (progress or NullProgress()).task("export", 6 + len(tables), unit="files") as task,
    ):
        for name in ("weights.safetensors", "cfg.json"):
            shutil.copyfile(dictionary_dir / name, partial / name)
            task.advance()
        write_lines(ordered, partial / "labels.jsonl")
        write_label_table(ordered, partial / "labels.parquet")
        task.advance(2)
        counts = {}
        for table in tables:
            (partial / ROWS).mkdir(exist_ok=True)
            counts[table.name] = write_rows(table, partial / ROWS / f"{table.name}.parquet")
            task.advance()
        if sheet is not None:
            (partial / SHEET).write_bytes(sheet)
        _write_json(partial / "provenance.json", dict(provenance))
        task.advance()
        card = render_card(_load_json(partial / "cfg.json"), provenance, ordered, counts, sheet is not None)
        (partial / "README.md").write_text(card, encoding="utf-8")
        files = {p.relative_to(partial).as_posix(): sha256_of(p) for p in sorted(partial.rglob("*")) if p.is_file()}
        manifest = {"format": FORMAT, "version": VERSION, "schema": schema, "counts": counts, "files": files}
        _write_json(partial / MANIFEST, {**manifest, "checksum": checksum_of(manifest)})
        task.advance()
    return out_dir


def _format_of(folder: Path) -> str:
    with suppress(AutointerpError):
        return str(_load_json(folder / MANIFEST).get("format", ""))
    return ""


def _write_json(path: Path, value: Any) -> None:
    text = to_json(value, indent=2, sort_keys=True, default=str)
    path.write_text(text + "\n", encoding="utf-8")


def _load_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise AutointerpError(f"cannot read {path}", "the bundle is incomplete: copy or export it again") from error
    if not isinstance(value, dict):
        raise AutointerpError(f"{path} holds no JSON object", "the bundle is damaged: copy or export it again")
    return value


def checksum_of(manifest: Mapping[str, Any]) -> str:
    """SHA-256 of a manifest without the key that holds it, in a form that does not depend on how it was written."""
    content = {key: value for key, value in manifest.items() if key != "checksum"}
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def read_bundle(path: Path) -> LabeledBundle:
    """Read a bundle and check every file of it.

    Raises:
        AutointerpError: it is no bundle, of a newer version, cut short, changed, holds a link, or names a path outside
            itself.
    """
    path = Path(path)
    if not (path / MANIFEST).is_file():
        raise AutointerpError(f"{path} is no bundle (it has no {MANIFEST})", "make one with `autointerp export`")
    links = cached_files(path)
    _check_place(path, MANIFEST, links)
    manifest = _load_json(path / MANIFEST)
    version, files = manifest.get("version"), manifest.get("files")
    if manifest.get("format") != FORMAT or not isinstance(version, int) or not isinstance(files, dict):
        raise AutointerpError(f"{path} is no bundle", "make one with `autointerp export`")
    if version > VERSION:
        raise AutointerpError(
            f"{path} is a bundle of version {version}; this autointerp reads up to {VERSION}", "upgrade autointerp"
        )
    again = "copy or export it again"
    if version < 1 or (version > 2 or "checksum" in manifest) and manifest.get("checksum") != checksum_of(manifest):
        raise AutointerpError(f"the bundle {path} is damaged: {MANIFEST} is not what was exported", again)
    for name in _REQUIRED:
        if name not in files:
            raise AutointerpError(f"the bundle {path} lacks {name}", again)
    for name, digest in files.items():
        _check_place(path, name, links)
        inside = path / name
        if not inside.is_file():
            raise AutointerpError(f"the bundle {path} lacks {name}", again)
        try:
            found = sha256_of(inside)
        except OSError as error:
            raise AutointerpError(f"cannot read {inside}: {error.strerror}", again) from error
        if found != digest:
            raise AutointerpError(f"the bundle {path} is damaged: {name} is not what was exported", again)
    try:
        rows = tuple(read_lines(path / "labels.jsonl"))
    except (OSError, UnicodeDecodeError) as error:
        raise AutointerpError(f"cannot read {path / 'labels.jsonl'}", again) from error
    if len({row.index for row in rows}) != len(rows):
        raise AutointerpError(f"the bundle {path} labels a feature twice", again)
    config, provenance = _load_json(path / "cfg.json"), _load_json(path / "provenance.json")
    schema, counts = manifest.get("schema", ""), manifest.get("counts", {})
    if not isinstance(schema, str) or not isinstance(counts, dict):
        raise AutointerpError(f"the bundle {path} is damaged: {MANIFEST} is not what was exported", again)
    for name in counts:
        if f"{ROWS}/{name}.parquet" not in files:
            raise AutointerpError(f"the bundle {path} lacks {ROWS}/{name}.parquet", again)
    return LabeledBundle(path, config, provenance, rows, dict(files), schema, counts)


def _check_place(path: Path, name: str, links: Path | None) -> None:
    """Refuse a name that leads out of the bundle, and any link but those of the hub's cache, `links`."""
    parts = PurePosixPath(name).parts
    odd = any(sign in "\\:" or ord(sign) < 32 for sign in name)
    if not parts or odd or PurePosixPath(name).is_absolute() or ".." in parts:
        raise AutointerpError(f"the bundle {path} names a path outside itself: {name!r}", "do not use it")
    inside = path
    for part in parts:
        inside = inside / part
        if inside.is_symlink() and not (links is not None and inside.resolve().is_relative_to(links)):
            raise AutointerpError(f"the bundle {path} holds a link: {name}", "do not use it, or copy what it links to")
