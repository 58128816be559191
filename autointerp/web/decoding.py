"""The process that decodes an uploaded picture: bytes in, a small PNG out. It may die without harm to the server."""

from __future__ import annotations

import io
import sys
from contextlib import suppress

MEMORY_BYTES = 2 * 2**30
CPU_SECONDS = 15
SIDE = 512


def decode(data: bytes) -> bytes:
    """Return a picture, upright and in RGB, as PNG of at most `SIDE` pixels a side.

    Raises:
        OSError: The bytes are no picture.
        ValueError: The bytes are no picture.
    """
    from PIL import Image, ImageOps

    from autointerp.diffusion.sources.picture_files import open_picture

    picture = open_picture(data)
    if max(picture.size) > SIDE:
        picture = ImageOps.contain(picture, (SIDE, SIDE), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    picture.convert("RGB").save(buffer, "PNG")
    return buffer.getvalue()


def _limit() -> None:
    """Limit memory and time of this process, where the system can."""
    import resource

    limits = {resource.RLIMIT_AS: MEMORY_BYTES, resource.RLIMIT_CPU: CPU_SECONDS, resource.RLIMIT_CORE: 0}
    for what, most in limits.items():
        with suppress(OSError, ValueError):
            resource.setrlimit(what, (most, most))


def main() -> int:
    """Decode standard input to standard output; the exit code says whether that went well."""
    _limit()
    try:
        made = decode(sys.stdin.buffer.read())
    except Exception as error:
        sys.stderr.write(f"{type(error).__name__}\n")
        return 1
    sys.stdout.buffer.write(made)
    return 0


if __name__ == "__main__":
    sys.exit(main())
