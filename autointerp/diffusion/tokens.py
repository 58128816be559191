"""Text tokens of a prompt, read by a model's tokenizers alone: no weights are loaded."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from autointerp.errors import AutointerpError

if TYPE_CHECKING:
    from autointerp.diffusion.description import ModelDescription


class TokenReader:
    """Reads prompts as the tokens that run through a model's text stream, padding included.

    Raises:
        UsageError: The model has no text stream inside its blocks.
    """

    def __init__(self, description: ModelDescription) -> None:
        self.description = description
        self.parts = description.family.text_stream().parts(description.defaults.max_sequence_length)

    def read(self, prompt: str) -> list[str]:
        """Return the prompt's tokens as the tokenizers write them, one for each column of a text layer's grid.

        Raises:
            AutointerpError: A tokenizer is not on this machine.
        """
        found: list[str] = []
        for tokenizer, length in self._tokenizers:
            ids = tokenizer(prompt, padding="max_length", max_length=length, truncation=True).input_ids
            found += tokenizer.convert_ids_to_tokens(ids)
        return found

    @cached_property
    def _tokenizers(self) -> list[tuple[Any, int]]:
        """Each tokenizer with its number of tokens."""
        return [(load_tokenizer(self.description, part), length) for part, length in self.parts]


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
