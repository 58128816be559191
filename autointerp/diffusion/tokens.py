"""What the text tokens of a layer stand for, read by a model's tokenizers alone: no weights are loaded."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from autointerp.errors import AutointerpError

if TYPE_CHECKING:
    from autointerp.diffusion.describe import ModelDescription


class TokenReader:
    """Prompts as the tokens that run through a model's text stream, padding included.

    Raises:
        UsageError: The model has no text stream inside its blocks.
    """

    def __init__(self, description: ModelDescription) -> None:
        self.description = description
        self.parts = description.family.text_stream().parts(description.defaults.max_sequence_length)

    def read(self, prompt: str) -> list[str]:
        """The prompt's tokens, as the tokenizers write them, one a column of a text layer's grid.

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
        from transformers import AutoTokenizer

        # Those of a single-file checkpoint lie where its configuration is.
        source = self.description.config or self.description.source
        where: dict[str, Any] = {"local_files_only": True}
        if self.description.commit is not None:
            where["revision"] = self.description.commit
        try:
            return [
                (AutoTokenizer.from_pretrained(source, subfolder=part, **where), length) for part, length in self.parts
            ]
        except (OSError, ValueError, ImportError) as error:
            raise AutointerpError(
                f"the tokenizers of {self.description.name} are not on this machine", "copy the model's folder here"
            ) from error
