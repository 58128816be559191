"""Text tokens of prompts by number, for dictionaries that read text tokens."""

from __future__ import annotations

from typing import Protocol

from autointerp.errors import AutointerpError
from autointerp.project.context import Context


class Tokenizer(Protocol):
    """Reads a prompt as its text tokens; raises `AutointerpError` where the model's tokenizer is not at hand."""

    def read(self, prompt: str) -> list[str]:
        """Return all tokens of the prompt, in order."""
        ...


class PromptTokens:
    """Reads single tokens of prompts, as far as the tokenizers are on this machine.

    After the first failure no further read is tried, so that a page of crops gives one note and not fifty.

    Args:
        ctx: The workspace, where notes go.
        tokenizer: Reads prompts; by default with the tokenizers of the workspace's model.
    """

    def __init__(self, ctx: Context, tokenizer: Tokenizer | None = None) -> None:
        from autointerp.diffusion.tokens import TokenReader

        self.ctx = ctx
        self.tokenizer: Tokenizer | None = tokenizer or TokenReader(ctx.description)

    def at(self, prompt: str, number: int) -> str | None:
        """Return the prompt's token of this number; None, with a note, where the tokenizer cannot be read."""
        if self.tokenizer is None:
            return None
        try:
            return self.tokenizer.read(prompt)[number]
        except AutointerpError as error:
            self.ctx.progress.note(f"tokens are given by number: {error}")
            self.tokenizer = None
            return None
