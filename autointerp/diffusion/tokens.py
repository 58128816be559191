"""Text tokens of a prompt, read by a model's tokenizers alone: no weights are loaded."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from autointerp.errors import AutointerpError

if TYPE_CHECKING:
    from autointerp.diffusion.description import ModelDescription

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
            padding = [] if tokenizer is None else [tokenizer.pad_token]
            found += [*tokenizer.convert_ids_to_tokens(ids), *padding * (length - len(ids))] if ids else [""] * length
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
            found += own + [False] * (length - len(own))
        return found

    def _own(self, tokenizer: Any, prompt: str, length: int) -> list[bool]:
        text = self.stream.render(tokenizer, prompt)
        encoded = self._encoded(tokenizer, prompt, length)
        present = [bool(one) for one in encoded.attention_mask]
        if text == prompt:
            return present
        if not tokenizer.is_fast:
            raise AutointerpError(
                f"the tokenizer of {self.description.name} does not tell which characters a token is made of",
                "save the pipeline with a fast tokenizer (tokenizer.json)",
            )
        before, _, after = self.stream.render(tokenizer, _ELSEWHERE).partition(_ELSEWHERE)
        start, end = len(before), len(text) - len(after)
        spans = encoded.offset_mapping
        return [here and first < end and last > start for here, (first, last) in zip(present, spans, strict=True)]

    def _encoded(self, tokenizer: Any, prompt: str, length: int) -> Any:
        """Tokenize a prompt as the pipeline does."""
        padding = {"padding": "max_length"} if self.stream.padded else {}
        return tokenizer(
            self.stream.render(tokenizer, prompt),
            max_length=length + self.stream.dropped,
            truncation=True,
            return_offsets_mapping=tokenizer.is_fast,
            add_special_tokens=self.stream.marked,
            **padding,
        )

    @cached_property
    def _tokenizers(self) -> list[tuple[Any, int]]:
        """Each tokenizer with its number of tokens; a processor of pictures and texts has one inside."""
        found = [
            (load_tokenizer(self.description, part) if self.loaded is None else self.loaded[part], length)
            for part, length in self.parts
        ]
        return [(getattr(one, "tokenizer", one), length) for one, length in found]


def load_tokenizer(description: ModelDescription, part: str, ask: bool = False) -> Any:
    """Load one tokenizer of a model.

    Args:
        description: The model.
        part: The tokenizer's folder in it.
        ask: Whether the hub may be asked for it; else it has to be on this machine.

    Raises:
        AutointerpError: It is not there.
    """
    from transformers import AutoTokenizer

    where: dict[str, Any] = {"local_files_only": not ask}
    if description.commit is not None:
        where["revision"] = description.commit
    try:
        return AutoTokenizer.from_pretrained(description.place_of(part), subfolder=part, **where)
    except (OSError, ValueError, ImportError) as error:
        raise AutointerpError(
            f"the tokenizers of {description.name} are not on this machine", "copy the model's folder here"
        ) from error
