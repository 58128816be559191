"""Messages on their way to a page: no path of this machine, no direction mark."""

from __future__ import annotations

import doctest
from pathlib import Path

import pytest

from autointerp.web import words

HOME = Path("/home/someone/work space/w")


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("cannot open /home/someone/x/autointerp.db: disk is full", "cannot open autointerp.db: disk is full"),
        ("/home/someone/work space/w is being written by process 1", "the workspace is being written by process 1"),
        ("try ~/models/sdxl, or C:\\Users\\me\\model", "try sdxl, or model"),
        ("see https://example.org/a/b", "see https://example.org/a/b"),
        ("write A:B, 3/4 of them, and/or METHOD=X", "write A:B, 3/4 of them, and/or METHOD=X"),
        ("the model 'stabilityai/sdxl-turbo' is missing", "the model 'stabilityai/sdxl-turbo' is missing"),
        ("file:///home/someone/x.png", "x.png"),
        ("a\u202eb", "a[U+202E]b"),
    ],
)
def test_paths_of_this_machine_are_left_out(said: str, shown: str) -> None:
    assert words.public(said, HOME) == shown


def test_examples() -> None:
    assert doctest.testmod(words).failed == 0
