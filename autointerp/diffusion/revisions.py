"""Revisions: hashes that name a model's weights."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from autointerp.filetypes import check_may_be_weights, check_no_pointer

_WEIGHTS = (".safetensors", ".bin", ".ckpt")
_WHOLE = 64 * 2**20
_SAMPLES, _SAMPLE = 64, 65536
_MADE_OF = (".safetensors", ".bin", ".json", ".txt", ".model")
"""Suffixes of the files that make up a model."""


def folder_revision(*folders: Path) -> str:
    """Return a hash that tells whether two folders hold the same model; of a model in several folders, over them all.

    Files of up to 64 MiB are hashed whole. Larger files are hashed by their size and 64 blocks spread over them, so
    that this is quick for a model of any size.

    Raises:
        AutointerpError: A file is a pointer of git LFS, a page saved as weights, or the like.
    """
    digest = hashlib.sha256()
    for folder in folders:
        for path in sorted(p for p in folder.rglob("*") if p.suffix in _MADE_OF and p.is_file()):
            if path.name != "autointerp.json":  # This file sets defaults, which results store themselves.
                hash_weights(digest, path, path.relative_to(folder).as_posix())
    return f"sha256-{digest.hexdigest()[:16]}"


def hash_weights(digest: Any, path: Path, name: str) -> None:
    """Add a file's name, size and content to a hash; of a file above 64 MiB only blocks of the content.

    Raises:
        AutointerpError: The file is a pointer of git LFS, a page saved as weights, or the like.
    """
    (check_may_be_weights if path.suffix in _WEIGHTS else check_no_pointer)(path)
    size = path.stat().st_size
    digest.update(f"{name} {size}\n".encode())
    with path.open("rb") as file:
        if size <= _WHOLE:
            digest.update(file.read())
            return
        for i in range(_SAMPLES):
            file.seek((size - _SAMPLE) * i // (_SAMPLES - 1))
            digest.update(file.read(_SAMPLE))
