"""What a refused command leaves: one line, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

Misuse = dict[str, tuple[list[str], int, list[str]]]
"""Name of a case -> arguments, the exit code, and words of the line."""


def one_line(done: Any, *codes: int) -> None:
    """Assert that a command failed with one of these codes, and printed one line."""
    assert done.code in codes, done
    assert done.err.startswith("error: "), done.err
    assert done.err.count("\n") == 1, done.err
    assert "Traceback" not in done.err
    assert len(done.err) < 600
    assert done.out == ""


def check_misuse(cli: Callable[..., Any], made: Path, case: tuple[list[str], int, list[str]]) -> None:
    """Assert that a command is refused with a line of these words, before anything was made."""
    arguments, code, said = case
    done = cli("-w", made, *arguments)
    one_line(done, code)
    for words in said:
        assert words in done.err
    assert not (made / "dictionaries").exists()
