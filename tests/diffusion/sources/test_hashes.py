"""Hashes of content."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from autointerp.diffusion.sources.hashes import content_hash, hash_file
from autointerp.errors import AutointerpError


def test_equal_content_has_equal_hashes() -> None:
    """Identities of stored results hold these hashes, so their form may not change."""
    assert content_hash(["a", None, 1]) == "sha256-" + hashlib.sha256(b'["a", null, 1]').hexdigest()[:16]
    assert content_hash(["a"]) != content_hash(["b"])


def test_a_file_is_hashed_by_its_content(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_bytes(b"content")
    assert hash_file(file) == hashlib.sha256(b"content").hexdigest()
    with pytest.raises(AutointerpError, match="cannot be read"):
        hash_file(tmp_path / "none.txt")
