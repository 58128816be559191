"""A shapes-vlm that reads and writes more words, begun from one that is trained: what a token meant it still means."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch

from training.shapes.vlm_model import new_vlm
from training.shapes.vlm_text import new_tokenizer
from training.shapes.wide.sayings import SYNONYMS, plural
from training.shapes.wide.words import NEVER_SEEN, SHAPES, WORDS

BETWEEN = ("on", "outside", "open", "gap", "side", "half", "picture", "only", "first", "second", "same", "differ")
"""Words around those of the wider world."""


def more_words() -> list[str]:
    """Return each single word of the wider world and of its sayings, in a fixed order."""
    said = [
        *WORDS,
        *(other for others in SYNONYMS.values() for other in others),
        *(plural(s) for s in SHAPES),
        *BETWEEN,
    ]
    single = dict.fromkeys(part for text in said for part in re.findall(r"[a-z]+", text))
    return [word for word in single if word not in NEVER_SEEN]


def wide_tokenizer() -> Any:
    """Return the tokenizer that knows the words of the wider world, and all that was known before."""
    return new_tokenizer(more_words())


def grown(folder: Path) -> tuple[Any, Any]:
    """Return the model in a folder with the vocabulary of `wide_tokenizer`, in float32, and that tokenizer.

    A token that both know keeps its vector. A new one begins as the mean of the tokens that its text was read as.
    """
    from transformers import AutoTokenizer, LlavaForConditionalGeneration

    old_tokenizer = AutoTokenizer.from_pretrained(folder)
    trained = LlavaForConditionalGeneration.from_pretrained(folder, dtype=torch.float32)
    tokenizer = wide_tokenizer()
    model = new_vlm(tokenizer)
    old_rows = trained.model.language_model.embed_tokens.weight.detach()
    known = old_tokenizer.get_vocab()
    rows = model.model.language_model.embed_tokens.weight.detach().clone()
    for token, i in tokenizer.get_vocab().items():
        if token in known:
            rows[i] = old_rows[known[token]]
        elif read := old_tokenizer.encode(tokenizer.decode([i]), add_special_tokens=False):
            rows[i] = old_rows[read].mean(0)
    tied = ("embed_tokens", "lm_head")
    state = {name: x for name, x in trained.state_dict().items() if not any(part in name for part in tied)}
    model.load_state_dict(state, strict=False)
    with torch.no_grad():
        model.model.language_model.embed_tokens.weight.copy_(rows)
    model.tie_weights()
    return model, tokenizer
