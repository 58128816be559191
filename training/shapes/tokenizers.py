"""The three small tokenizers of `shapes`, made from the world's own words.

Every word of a caption is one token. The CLIP tokenizers also know every byte, so any text can be read; the T5
tokenizer reads unknown words as its unknown token.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from transformers import CLIPTokenizer, T5TokenizerFast

from autointerp.shapes.scenes import ATTRIBUTES, POSITIONS

FUNCTION_WORDS = ("a", "an", "and", "at", "in", "is", "of", "on", "the", "with", "background", "object", ",")
MAX_TOKENS = 28
"""Longest prompt in T5 tokens: three objects with all their words, a background and the end, and some to spare."""


def world_words() -> list[str]:
    """Every word that a caption of the world can hold, sorted."""
    phrases = [value for values in ATTRIBUTES.values() for value in values] + list(POSITIONS)
    return sorted({word for phrase in phrases for word in phrase.split()} | set(FUNCTION_WORDS))


def clip_tokenizer(max_length: int = MAX_TOKENS) -> CLIPTokenizer:
    """A byte-level BPE in which each word of the world is one token."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    words = world_words()
    bpe = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    bpe.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    bpe.train_from_iterator(
        [" ".join(words)] * 4,
        trainers.BpeTrainer(vocab_size=4000, min_frequency=2, end_of_word_suffix="</w>", show_progress=False),
    )
    model = json.loads(bpe.to_str())["model"]
    vocab: dict[str, int] = dict(model["vocab"])
    letters = pre_tokenizers.ByteLevel.alphabet()
    for token in [*sorted(letters), *sorted(x + "</w>" for x in letters), "<|startoftext|>", "<|endoftext|>"]:
        vocab.setdefault(token, len(vocab))
    merges = [m if isinstance(m, str) else " ".join(m) for m in model["merges"]]
    with tempfile.TemporaryDirectory() as folder:
        vocab_path, merges_path = Path(folder, "vocab.json"), Path(folder, "merges.txt")
        vocab_path.write_text(json.dumps(vocab))
        merges_path.write_text("#version: 0.2\n" + "\n".join(merges) + "\n")
        return CLIPTokenizer(vocab=str(vocab_path), merges=str(merges_path), model_max_length=max_length)


def t5_tokenizer() -> T5TokenizerFast:
    """A unigram model whose pieces are the world's words."""
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -6.0), (",", -2.0)]
    pieces += [(f"▁{word}", -3.0) for word in world_words() if word != ","]
    return T5TokenizerFast(vocab=pieces, extra_ids=0, model_max_length=MAX_TOKENS)
