"""A bundle: one folder that carries a dictionary, its labels, and where both come from.

A bundle is written whole or not at all, and read only if every file is the one that its manifest names. Nothing
outside the folder is ever read on its behalf.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from autointerp.errors import AutointerpError
from autointerp.export.card import render_card
from autointerp.export.folder import whole_folder
from autointerp.export.rows import ExportRow, read_lines, write_lines
from autointerp.progress import NullProgress, Progress
from autointerp.texts import to_json

FORMAT = "autointerp-bundle"
VERSION = 1
"""Of the layout; a reader refuses a newer one."""
MANIFEST = "manifest.json"
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


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() if hasattr(hashlib, "file_digest") else _digest(file)


def _digest(file: Any) -> str:
    digest = hashlib.sha256()
    while block := file.read(1 << 20):
        digest.update(block)
    return digest.hexdigest()


def write_bundle(
    out_dir: Path,
    dictionary_dir: Path,
    provenance: Mapping[str, Any],
    rows: Sequence[ExportRow],
    pictures: Mapping[str, bytes] | None = None,
    progress: Progress | None = None,
) -> Path:
    """Write a bundle, replacing one of an earlier export; returns its path.

    Args:
        out_dir: the folder to make.
        dictionary_dir: holds `cfg.json` and `weights.safetensors`, which are copied byte by byte.
        provenance: name, model, revision, layer, hookpoint, signal and the like; JSON values, no secrets.
        rows: one a feature.
        pictures: file name -> bytes, written under `crops/`.
        progress: told of each file.

    Raises:
        UsageError: the target is a file or a folder of something else.
        AutointerpError: the dictionary is incomplete, or the disk refuses.
    """
    out_dir = out_dir.absolute()
    pictures = pictures or {}
    for name in ("cfg.json", "weights.safetensors"):
        if not (dictionary_dir / name).is_file():
            raise AutointerpError(f"the dictionary {dictionary_dir} lacks {name}", "fit or import it again")
    for name in pictures:
        if PurePosixPath(name).name != name or name in ("", ".", ".."):
            raise ValueError(f"not a file name: {name!r}")
    with (
        whole_folder(out_dir, lambda folder: _format_of(folder) == FORMAT, "a bundle") as partial,
        (progress or NullProgress()).task("export", 5 + len(pictures), unit="files") as task,
    ):
        for name in ("weights.safetensors", "cfg.json"):
            shutil.copyfile(dictionary_dir / name, partial / name)
            task.advance()
        config = _load_json(partial / "cfg.json")
        ordered = sorted(rows, key=lambda row: row.index)
        write_lines(ordered, partial / "labels.jsonl")
        task.advance()
        _write_json(partial / "provenance.json", dict(provenance))
        task.advance()
        for name, data in pictures.items():
            (partial / "crops").mkdir(exist_ok=True)
            (partial / "crops" / name).write_bytes(data)
            task.advance()
        card = render_card(config, provenance, ordered, len(pictures))
        (partial / "README.md").write_text(card, encoding="utf-8")
        files = {p.relative_to(partial).as_posix(): sha256_of(p) for p in sorted(partial.rglob("*")) if p.is_file()}
        _write_json(partial / MANIFEST, {"format": FORMAT, "version": VERSION, "files": files})
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
    except (OSError, ValueError) as error:
        raise AutointerpError(f"cannot read {path}", "the bundle is incomplete: copy or export it again") from error
    if not isinstance(value, dict):
        raise AutointerpError(f"{path} holds no JSON object", "the bundle is damaged: copy or export it again")
    return value


def read_bundle(path: Path) -> LabeledBundle:
    """Read a bundle and check every file of it.

    Raises:
        AutointerpError: it is no bundle, of a newer version, cut short, changed, or names a path outside itself.
    """
    path = Path(path)
    if not (path / MANIFEST).is_file():
        raise AutointerpError(f"{path} is no bundle (it has no {MANIFEST})", "make one with `autointerp export`")
    manifest = _load_json(path / MANIFEST)
    version, files = manifest.get("version"), manifest.get("files")
    if manifest.get("format") != FORMAT or not isinstance(version, int) or not isinstance(files, dict):
        raise AutointerpError(f"{path} is no bundle", "make one with `autointerp export`")
    if version > VERSION:
        raise AutointerpError(
            f"{path} is a bundle of version {version}; this autointerp reads up to {VERSION}", "upgrade autointerp"
        )
    again = "copy or export it again"
    root = path.resolve()
    for name in _REQUIRED:
        if name not in files:
            raise AutointerpError(f"the bundle {path} lacks {name}", again)
    for name, digest in files.items():
        inside = path / name
        parts = PurePosixPath(name).parts
        if not parts or PurePosixPath(name).is_absolute() or ".." in parts or not _within(inside, root):
            raise AutointerpError(f"the bundle {path} names a path outside itself: {name!r}", "do not use it")
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
    return LabeledBundle(path, _load_json(path / "cfg.json"), _load_json(path / "provenance.json"), rows, dict(files))


def _within(path: Path, root: Path) -> bool:
    return path.resolve().is_relative_to(root)
