"""Words of a prompt, and the text tokens that each of them is made of: tokenizers are read, no weights are loaded."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from autointerp.diffusion.tokens import load_tokenizer
from autointerp.errors import AutointerpError, UsageError

if TYPE_CHECKING:
    from autointerp.diffusion.description import ModelDescription
    from autointerp.diffusion.families.word_attention import WordAttention

_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")


class Word(NamedTuple):
    """A word where it stands in a prompt.

    Attributes:
        text: The word as the prompt writes it.
        start: Its first character.
        end: The character after its last.
    """

    text: str
    start: int
    end: int


def words_of(prompt: str) -> list[Word]:
    """Return the words of a prompt in order. A word that is said twice is two words; punctuation is none."""
    return [Word(found.group(), found.start(), found.end()) for found in _WORD.finditer(prompt)]


@dataclass(frozen=True)
class TokenWords:
    """The words of a prompt that a model reads, and their tokens.

    Attributes:
        words: The words, in order; those are left out of which the model reads no token.
        tokens: Whether a text token is a part of a word, bool [text tokens, words].
    """

    words: tuple[Word, ...]
    tokens: np.ndarray

    @property
    def shares(self) -> np.ndarray:
        """The matrix by which weights of text tokens become means over each word's tokens, float32 [tokens, words]."""
        return np.asarray(self.tokens / np.maximum(self.tokens.sum(0), 1), np.float32)


class WordReader:
    """Finds the tokens of each word of a prompt, by the offsets that a model's tokenizers give.

    Args:
        description: The model.
        max_sequence_length: Tokens of the longest text that the model is run with; its default if None.

    Raises:
        UsageError: It is not known where the model's image tokens attend to the text.
    """

    def __init__(self, description: ModelDescription, max_sequence_length: int | None = None) -> None:
        self.description = description
        self.attention = attention_of(description)
        self.length = max_sequence_length or description.defaults.max_sequence_length

    def read(self, prompt: str) -> TokenWords:
        """Return the prompt's words with their tokens, in the order in which the model has its text tokens.

        Raises:
            AutointerpError: A tokenizer is not on this machine, or gives no offsets.
        """
        text = self.attention.as_read(prompt)
        words = words_of(text)
        tokens = np.concatenate([_tokens_of(words, self._offsets(part, text)) for part in self._parts])
        seen = np.flatnonzero(tokens.any(0))
        return TokenWords(tuple(words[i] for i in seen), tokens[:, seen])

    @cached_property
    def _parts(self) -> list[tuple[Any, int]]:
        """Each tokenizer with its number of tokens; None in place of one that the pipeline was saved without."""
        found: list[tuple[Any, int]] = []
        for part, length in self.attention.parts(self.length):
            folder = Path(self.description.place_of(part))
            lacks = part in self.description.family.may_lack and folder.is_dir() and not (folder / part).is_dir()
            tokenizer = None if lacks else load_tokenizer(self.description, part)
            if tokenizer is not None and not tokenizer.is_fast:
                raise AutointerpError(
                    f"{part} of {self.description.name} does not tell which characters a token is made of",
                    "save the pipeline with a fast tokenizer (tokenizer.json)",
                )
            limit = 0 if tokenizer is None else int(tokenizer.model_max_length)
            found.append((tokenizer, limit if length is None else length))
        return found

    def _offsets(self, part: tuple[Any, int], text: str) -> Sequence[tuple[int, int]]:
        """Return the characters of each token; those of padding and of marks are empty."""
        tokenizer, length = part
        if tokenizer is None:
            return [(0, 0)] * length
        how: dict[str, Any] = {"padding": "max_length", "max_length": length, "truncation": True}
        found: Sequence[tuple[int, int]] = tokenizer(text, return_offsets_mapping=True, **how).offset_mapping
        return found


def attention_of(description: ModelDescription) -> WordAttention:
    """Return how a model's image tokens attend to the text.

    Raises:
        UsageError: That is not known for its family.
    """
    found = description.family.word_attention
    if found is None:
        raise UsageError(
            f"it is not known where {description.family.pipeline_class} attends to the words of a prompt",
            "leave words out; docs/howto.md says how a model family is added",
        )
    return found


def _tokens_of(words: Sequence[Word], offsets: Sequence[tuple[int, int]]) -> np.ndarray:
    """Return which tokens share a character with which word, bool [tokens, words]."""
    spans = np.array(offsets, np.int64).reshape(-1, 2)
    starts, ends = (np.array([getattr(word, name) for word in words], np.int64) for name in ("start", "end"))
    return np.asarray((spans[:, :1] < ends) & (spans[:, 1:] > starts))
