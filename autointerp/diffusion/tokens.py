"""Text tokens of a prompt, read by a model's tokenizers alone: no weights are loaded."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from autointerp.errors import AutointerpError

if TYPE_CHECKING:
    from autointerp.diffusion.description import ModelDescription
    from autointerp.diffusion.families import TextStream

_T = TypeVar("_T")
_ELSEWHERE = "\N{OBJECT REPLACEMENT CHARACTER}"
"""A prompt that no template holds, by which the place of a prompt in a template is found."""


class TokenReader:
    """Reads prompts as the tokens that run through a model's text stream, padding included.

    Args:
        description: The model.
        max_sequence_length: Tokens of the longest text; the model's default if None.
        tokenizers: The tokenizers by part, where they are loaded already; a part may be None.

    Raises:
        UsageError: The model has no text stream inside its blocks.
    """

    def __init__(
        self,
        description: ModelDescription,
        max_sequence_length: int | None = None,
        tokenizers: Mapping[str, Any] | None = None,
    ) -> None:
        self.description = description
        self.stream = description.family.text_stream()
        self.parts = self.stream.parts(max_sequence_length or description.defaults.max_sequence_length)
        self.loaded = tokenizers

    def read(self, prompt: str) -> list[str]:
        """Return the prompt's tokens as the tokenizers write them, one for each column of a text layer's grid.

        Raises:
            AutointerpError: A tokenizer is not on this machine.
        """
        found: list[str] = []
        for tokenizer, length in self._tokenizers:
            ids = [] if tokenizer is None else self._encoded(tokenizer, prompt, length).input_ids[self.stream.dropped :]
            words = tokenizer.convert_ids_to_tokens(ids) if ids else []
            found += self._filled(words, length, tokenizer.pad_token if ids else "")
        return found

    def own(self, prompt: str) -> list[bool]:
        """Return which of these tokens are of the prompt itself, neither padding nor part of a template.

        Marks of beginning and end that a tokenizer puts around every text are of the prompt.

        Raises:
            AutointerpError: A tokenizer is not on this machine, or does not tell which characters a token is made of.
        """
        found: list[bool] = []
        for tokenizer, length in self._tokenizers:
            own = [] if tokenizer is None else self._own(tokenizer, prompt, length)[self.stream.dropped :]
            found += self._filled(own, length, False)
        return found

    def _filled(self, row: list[_T], length: int, padding: _T) -> list[_T]:
        """Return a row of tokens with padding up to a length."""
        more = [padding] * (length - len(row))
        return [*more, *row] if self.stream.padded_before else [*row, *more]

    def _own(self, tokenizer: Any, prompt: str, length: int) -> list[bool]:
        encoded = self._encoded(tokenizer, prompt, length)
        present = [bool(one) for one in encoded.attention_mask]
        span = span_in_template(self.stream, tokenizer, prompt, self.description.name)
        if span is None:
            return present
        start, end = span
        spans = encoded.offset_mapping
        return [here and first < end and last > start for here, (first, last) in zip(present, spans, strict=True)]

    def _encoded(self, tokenizer: Any, prompt: str, length: int) -> Any:
        """Tokenize a prompt as the pipeline does."""
        padding = {"padding": "max_length"} if self.stream.padded else {}
        text = self.stream.render(tokenizer, prompt)
        pieces, most = self.stream.pieces(text), length + self.stream.dropped - self.stream.closing
        if len(pieces) == 1:
            return tokenizer(
                text,
                max_length=most,
                truncation=True,
                return_offsets_mapping=tokenizer.is_fast,
                add_special_tokens=self.stream.marked,
                **padding,
            )
        ids = [one for piece in pieces for one in tokenizer(piece, add_special_tokens=False).input_ids]
        return tokenizer.pad({"input_ids": ids[:most]}, max_length=most, **padding)

    @cached_property
    def _tokenizers(self) -> list[tuple[Any, int]]:
        """Each tokenizer with its number of tokens; a processor of pictures and texts has one inside."""
        found = [
            (load_tokenizer(self.description, part) if self.loaded is None else self.loaded[part], length)
            for part, length in self.parts
        ]
        return [(getattr(one, "tokenizer", one), length) for one, length in found]


def span_in_template(stream: TextStream, tokenizer: Any, prompt: str, model: str) -> tuple[int, int] | None:
    """Return where a prompt begins and ends in the text that a tokenizer is given; None where there is no template.

    Args:
        stream: The text stream.
        tokenizer: The tokenizer.
        prompt: The prompt.
        model: The model's name, for errors.

    Raises:
        AutointerpError: The tokenizer does not tell which characters a token is made of.
    """
    text = stream.render(tokenizer, prompt)
    if text == prompt:
        return None
    if not tokenizer.is_fast:
        raise AutointerpError(
            f"the tokenizer of {model} does not tell which characters a token is made of",
            "save the pipeline with a fast tokenizer (tokenizer.json)",
        )
    before, _, after = stream.render(tokenizer, _ELSEWHERE).partition(_ELSEWHERE)
    return len(before), len(text) - len(after)


def load_tokenizer(description: ModelDescription, part: str, ask: bool = False) -> Any:
    """Load one tokenizer of a model.

    Args:
        description: The model.
        part: The tokenizer's folder in it.
        ask: Whether the hub may be asked for it; else it has to be on this machine.

    Raises:
        AutointerpError: It is not there.
    """
    where: dict[str, Any] = {"local_files_only": not ask}
    if description.commit is not None:
        where["revision"] = description.commit
    try:
        return _class_of(description, part).from_pretrained(description.place_of(part), subfolder=part, **where)
    except (OSError, ValueError, ImportError) as error:
        raise AutointerpError(
            f"the tokenizers of {description.name} are not on this machine", "copy the model's folder here"
        ) from error


def _class_of(description: ModelDescription, part: str) -> Any:
    """Return the class that reads a tokenizer: one that diffusers has beside a pipeline, or what its files say."""
    from transformers import AutoTokenizer

    library, kind = description.index.get(part) or (None, None)
    if library in (None, "transformers", "diffusers"):
        return AutoTokenizer
    import diffusers

    return getattr(getattr(diffusers.pipelines, library, None), str(kind), AutoTokenizer)
