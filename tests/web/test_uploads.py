"""Uploads: bounded, decoded in another process, and asked for by their ids alone."""

from __future__ import annotations

import asyncio
import io
import subprocess
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest
from PIL import Image

from autointerp.errors import UsageError
from autointerp.web import decoding, uploads
from autointerp.web.uploads import TooLarge, UploadedPictures, read_bounded


def png(size: tuple[int, int] = (900, 300)) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, (200, 30, 40)).save(buffer, "PNG")
    return buffer.getvalue()


async def stream(parts: list[bytes], taken: list[int]) -> AsyncIterator[bytes]:
    for part in parts:
        taken.append(len(part))
        yield part


def test_reading_stops_as_soon_as_there_is_too_much() -> None:
    taken: list[int] = []
    with pytest.raises(TooLarge, match="MB"):
        asyncio.run(read_bounded(stream([b"x" * 10] * 1000, taken), limit=35))
    assert len(taken) == 4
    assert asyncio.run(read_bounded(stream([b"ab", b"c"], taken), limit=3)) == b"abc"


def test_a_picture_becomes_a_small_one_in_another_process() -> None:
    pictures = UploadedPictures()
    name = pictures.add(png())
    with Image.open(pictures.path(name)) as kept:
        assert (kept.size, kept.mode, kept.format) == ((512, 171), "RGB", "PNG")


@pytest.mark.parametrize("data", [b"", b"no picture", png()[:60], b"<svg onload='alert(1)'/>"])
def test_what_is_no_picture_is_refused_in_one_line(data: bytes) -> None:
    with pytest.raises(UsageError, match="no picture that can be read"):
        UploadedPictures().add(data)


def test_a_process_that_dies_or_hangs_harms_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    run = subprocess.run

    def killed(command: Any, **options: Any) -> Any:
        return run([sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"], **options)

    def hanging(command: Any, **options: Any) -> Any:
        return run([sys.executable, "-c", "import time; time.sleep(60)"], **{**options, "timeout": 0.2})

    for stand_in, said in ((killed, "no picture"), (hanging, "too long")):
        monkeypatch.setattr(uploads.subprocess, "run", stand_in)
        with pytest.raises(UsageError, match=said):
            uploads.decoded(png())


@pytest.mark.parametrize("name", ["", "../../etc/passwd", "a" * 32, "A" * 32, "..%2f", "a" * 31 + "/"])
def test_only_ids_of_pictures_that_are_kept_lead_to_a_file(name: str) -> None:
    pictures = UploadedPictures()
    pictures.add(png((8, 8)))
    with pytest.raises(UsageError, match="gone"):
        pictures.path(name)


def test_only_the_newest_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "_MOST", 2)
    monkeypatch.setattr(uploads, "decoded", lambda data: data)
    pictures = UploadedPictures()
    names = [pictures.add(bytes([number])) for number in range(3)]
    with pytest.raises(UsageError):
        pictures.path(names[0])
    assert pictures.path(names[2]).read_bytes() == b"\x02"


def test_the_decoder_limits_a_bomb() -> None:
    # A header of 60,000 x 60,000 pixels: decoding it would take 10 GB.
    bomb = bytearray(png((8, 8)))
    bomb[16:24] = (60_000).to_bytes(4, "big") * 2
    with pytest.raises((OSError, ValueError, Image.DecompressionBombError, SyntaxError)):
        decoding.decode(bytes(bomb))
