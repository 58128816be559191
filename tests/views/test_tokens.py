"""Tokens are read by number; a tokenizer that is not here is noted once."""

from __future__ import annotations

import pytest

from autointerp.errors import AutointerpError
from autointerp.project.context import Context
from autointerp.views.tokens import PromptTokens

from .conftest import Notes


class Words:
    """Reads a prompt as its words, or fails."""

    def __init__(self, fails: bool) -> None:
        self.fails, self.asked = fails, 0

    def read(self, prompt: str) -> list[str]:
        self.asked += 1
        if self.fails:
            raise AutointerpError("the tokenizers are not on this machine", "copy them")
        return prompt.split()


@pytest.mark.parametrize("fails", [False, True])
def test_one_note_and_then_numbers_alone(small: Context, fails: bool) -> None:
    reader = Words(fails)
    tokens = PromptTokens(small, reader)
    assert [tokens.at("a red circle", number) for number in (1, 2)] == ([None] * 2 if fails else ["red", "circle"])
    assert isinstance(small.progress, Notes)
    assert len(small.progress.said) == fails
    assert reader.asked == (1 if fails else 2)
