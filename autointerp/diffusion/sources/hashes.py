"""Hashes that identify the content of a source of prompts."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from autointerp.errors import AutointerpError
from autointerp.files import sha256_of


def content_hash(content: Any) -> str:
    """Return a short hash of JSON values."""
    return f"sha256-{hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]}"


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file's content, in hexadecimal.

    Raises:
        AutointerpError: The file cannot be read.
    """
    try:
        return sha256_of(path)
    except OSError as error:
        raise AutointerpError(f"{path} cannot be read: {error.strerror}", "check its permissions") from None
