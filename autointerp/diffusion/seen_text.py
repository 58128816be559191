"""What a model sees of a prompt: text encoders cut a prompt at their number of tokens.

A prompt of which one tokenizer reads all is whole, even if another cuts it: CLIP reads 77 tokens beside the 256 or 512
that T5 reads in FLUX and Stable Diffusion 3.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from autointerp.diffusion.tokens import load_tokenizer, span_in_template
from autointerp.errors import AutointerpError

if TYPE_CHECKING:
    from autointerp.diffusion.description import ModelDescription
    from autointerp.diffusion.families import TextStream

_ENDLESS = 10**6
"""A limit of a tokenizer from which on it means none."""
_SHORTEST = 16
"""Fewest tokens of any text encoder; a token is a character at least in ASCII, and two mark beginning and end."""


class _Reader(NamedTuple):
    tokenizer: Any
    limit: int
    stream: TextStream | None
    """The text stream whose template the tokenizer reads a prompt in."""


class SeenText:
    """Cuts prompts as a model's text encoders do, by its tokenizers alone: no weights are loaded.

    Args:
        description: The model.
        ask: Whether the hub may be asked for tokenizers that are not on this machine.
    """

    def __init__(self, description: ModelDescription, ask: bool = False) -> None:
        self.description, self.ask = description, ask
        self._seen: dict[str, str] = {}

    @property
    def limit(self) -> int:
        """The most tokens of a prompt that some tokenizer reads.

        Raises:
            AutointerpError: A tokenizer is not on this machine.
        """
        return max(reader.limit for reader in self._readers)

    def of(self, prompt: str) -> str:
        """Return the part of a prompt that the model sees, in whole words.

        Raises:
            AutointerpError: A tokenizer is not on this machine.
        """
        if prompt.isascii() and len(prompt) <= _SHORTEST - 2:
            return prompt
        if prompt not in self._seen:
            name = self.description.name
            self._seen[prompt] = max((_read(reader, prompt, name) for reader in self._readers), key=len)
        return self._seen[prompt]

    def count_cut(self, prompts: Iterable[str]) -> int:
        """Return of how many prompts the model does not see all.

        Raises:
            AutointerpError: A tokenizer is not on this machine.
        """
        return sum(self.of(prompt) != prompt for prompt in prompts)

    @cached_property
    def _readers(self) -> list[_Reader]:
        described = self.description
        most = described.defaults.max_sequence_length
        found: list[_Reader] = []
        for part, given in described.family.readers(most):
            folder = Path(described.place_of(part))
            if folder.is_dir() and not (folder / part).is_dir():
                continue  # Some pipelines are saved without one of their text encoders.
            try:
                tokenizer = load_tokenizer(described, part, self.ask)
            except AutointerpError:
                if found and described.family.open:
                    continue  # Of an unknown pipeline it is not known how many there are.
                raise
            own = int(min(tokenizer.model_max_length, _ENDLESS))
            limit = own if given is None else min(own, given) if described.family.open else given
            # Without a limit of its own, the tokenizer does not warn of each long prompt.
            tokenizer.model_max_length = _ENDLESS
            stream = described.family.text
            inside = stream is not None and part in dict(stream.parts(most))
            found.append(_Reader(tokenizer, most if limit >= _ENDLESS else limit, stream if inside else None))
        if not found:
            raise AutointerpError(f"{described.name} has no tokenizer that is known", "prompts are taken as whole")
        return found


def _read(reader: _Reader, prompt: str, model: str) -> str:
    """Return what one tokenizer keeps of a prompt."""
    tokenizer, limit, stream = reader
    span = None if stream is None else span_in_template(stream, tokenizer, prompt, model)
    if stream is not None and span is not None:
        kept = _kept_in_template(stream, tokenizer, prompt, limit, span)
    elif len(tokenizer(prompt).input_ids) <= limit:
        kept = len(prompt)
    elif not tokenizer.is_fast:
        ids = tokenizer(prompt, truncation=True, max_length=limit).input_ids
        kept = len(str(tokenizer.decode(ids, skip_special_tokens=True)))
    else:
        offsets = tokenizer(prompt, truncation=True, max_length=limit, return_offsets_mapping=True).offset_mapping
        kept = max((end for _, end in offsets), default=0)
    seen = prompt[:kept]
    if kept >= len(prompt):
        return prompt
    if prompt[kept].isalnum() and seen[-1:].isalnum():
        # A part of a word is no word of the prompt.
        seen = seen.rstrip("".join({c for c in seen if c.isalnum()}))
    return seen.rstrip()


def _kept_in_template(stream: TextStream, tokenizer: Any, prompt: str, limit: int, span: tuple[int, int]) -> int:
    """Return how many characters of a prompt a tokenizer keeps that reads it in a template."""
    offsets = tokenizer(
        stream.render(tokenizer, prompt),
        truncation=True,
        max_length=limit + stream.dropped,
        return_offsets_mapping=True,
        add_special_tokens=stream.marked,
    ).offset_mapping
    start, end = span
    return max((min(last, end) - start for first, last in offsets if first < end and last > start), default=0)
