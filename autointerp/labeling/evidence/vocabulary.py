"""Vocabularies: phrases that a feature may be named by although no prompt says them."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from autointerp.errors import AutointerpError
from autointerp.worlds import Vocabulary


def parse_vocabulary(text: str) -> tuple[str, ...]:
    """Return the phrases of a vocabulary file in order, without duplicates: one a line, `#` starts a comment."""
    lines = (line.split("#", 1)[0].strip().lower() for line in text.splitlines())
    return tuple(dict.fromkeys(line for line in lines if line))


def load_vocabulary(path: Path | None = None) -> tuple[str, ...]:
    """Return the phrases of a file, by default of the shipped `prompts/vocabulary.txt`.

    Raises:
        AutointerpError: The file cannot be read or holds no phrase.
    """
    try:
        text = (path or files("autointerp").joinpath("prompts", "vocabulary.txt")).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise AutointerpError(f"cannot read the vocabulary {path or 'of the package'}", str(error)) from error
    phrases = parse_vocabulary(text)
    if not phrases:
        raise AutointerpError(f"the vocabulary {path} holds no phrase", "write one phrase a line")
    return phrases


def candidate_phrases(world: Vocabulary) -> tuple[str, ...]:
    """Return the phrases that a feature may be named by: those of a world first, then the shipped ones."""
    return tuple(dict.fromkeys(world.phrases + load_vocabulary()))
