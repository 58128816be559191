"""Pictures that people drop on a page: bounded in size, and decoded in a process that may die of them."""

from __future__ import annotations

import re
import secrets
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

from autointerp.errors import AutointerpError, UsageError

LIMIT_BYTES = 20 * 2**20
_SECONDS = 20
_MOST = 64
"""Pictures that are kept; of more, the oldest go."""


class TooLarge(AutointerpError):
    """An upload has more bytes than a picture may have."""


class UploadedPictures:
    """The pictures of this server's time, as small PNG files in a folder that goes with the server."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="autointerp-view-")

    def add(self, data: bytes) -> str:
        """Keep a picture, and return the id under which it is asked for.

        Raises:
            UsageError: The bytes are no picture that can be read.
        """
        small = decoded(data)
        name = secrets.token_hex(16)
        folder = Path(self._folder.name)
        (folder / f"{name}.png").write_bytes(small)
        kept = sorted(folder.glob("*.png"), key=lambda path: path.stat().st_mtime)
        for old in kept[:-_MOST]:
            old.unlink(missing_ok=True)
        return name

    def path(self, name: str) -> Path:
        """Return the file of a picture.

        Raises:
            UsageError: There is no such picture any more.
        """
        path = Path(self._folder.name) / f"{name}.png"
        if not re.fullmatch(r"[0-9a-f]{32}", name) or not path.is_file():
            raise UsageError("this picture is gone", "drop it again")
        return path


def decoded(data: bytes) -> bytes:
    """Return a picture as PNG of at most 512 pixels a side, decoded in a process of its own.

    Raises:
        UsageError: The bytes are no picture that can be read, or reading it takes too much time or memory.
    """
    command = [sys.executable, "-m", "autointerp.web.decoding"]
    try:
        done = subprocess.run(command, input=data, capture_output=True, timeout=_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise UsageError("this picture takes too long to read", "try a smaller one") from None
    if done.returncode != 0 or not done.stdout:
        raise UsageError("this is no picture that can be read", "drop a PNG, JPEG or WebP file")
    return done.stdout


async def read_bounded(stream: AsyncIterator[bytes], limit: int = LIMIT_BYTES) -> bytes:
    """Read an upload; stop as soon as it has too many bytes.

    Raises:
        TooLarge: It has.
    """
    parts, size = [], 0
    async for part in stream:
        size += len(part)
        if size > limit:
            raise TooLarge(f"a picture may have {limit // 2**20} MB", "drop a smaller one")
        parts.append(part)
    return b"".join(parts)
