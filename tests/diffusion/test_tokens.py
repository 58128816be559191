"""Text tokens of prompts."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from autointerp.diffusion.tokens import TokenReader
from tests.diffusion.helpers import Models

LENGTH = {"flux": 28, "sd3": 77 + 28}


LAYERS = {"flux": ["early", "mid", "late"], "sd3": ["early", "mid", "transformer.transformer_blocks.0.attn"]}


@pytest.mark.parametrize("name", LAYERS)
def test_tokens_are_those_of_the_prompt(tiny_model: Models, name: str) -> None:
    model = tiny_model(name)
    tokens = TokenReader(model.description).read("large red circle")
    assert len(tokens) == LENGTH[name]
    words = "".join(tokens).replace("</w>", " ").replace("▁", " ")
    assert words.count("large red circle") == len(TokenReader(model.description).parts)


@pytest.mark.parametrize("config", [None, "owner/base"], ids=["repository", "file"])
def test_tokens_of_a_quantized_model_and_of_a_single_file_are_found(
    tiny_model: Models, monkeypatch: pytest.MonkeyPatch, config: str | None
) -> None:
    """The revision that results carry names weights, not what the hub knows; a checkpoint has no tokenizers."""
    import transformers

    model, commit = tiny_model("flux").description, "c" * 40
    source = "owner/name" if config is None else "/models/one.safetensors"
    asked = dataclasses.replace(model, source=source, config=config, commit=commit, revision=f"{commit}+nf4")
    words, real = TokenReader(model).read("large red circle"), transformers.AutoTokenizer.from_pretrained

    def from_pretrained(name: str, *, revision: str, **where: Any) -> Any:
        assert (name, revision) == ("owner/base" if config else "owner/name", commit)
        return real(model.source, **where)

    monkeypatch.setattr(transformers.AutoTokenizer, "from_pretrained", from_pretrained)
    assert TokenReader(asked).read("large red circle") == words
