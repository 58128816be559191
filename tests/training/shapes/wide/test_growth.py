"""A model that knows more words answers as the one that it was begun from."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from autointerp.shapes.vlm import FOLDER, load_shapes_vlm
from training.shapes.vlm_answers import save_vlm
from training.shapes.vlm_measure import _label
from training.shapes.vlm_model import new_processor
from training.shapes.vlm_pool import rendered_pool
from training.shapes.vlm_questions import Questions
from training.shapes.vlm_requests import messages
from training.shapes.wide.growth import grown, more_words
from training.shapes.wide.words import NEVER_SEEN, WORDS


@pytest.fixture(scope="module")
def begun():
    return grown(FOLDER)


def test_each_word_is_one_token(begun):
    _, tokenizer = begun
    for word in more_words():
        assert len(tokenizer.encode(word, add_special_tokens=False)) == 1, word
        assert len(tokenizer.encode(f" {word}", add_special_tokens=False)) == 1, word
    assert {part for word in set(WORDS) - set(NEVER_SEEN) for part in word.split()} <= set(more_words())
    assert tokenizer.decode(tokenizer.encode("maroon hearts, kite")) == "maroon hearts, kite"


def test_it_names_as_before(begun, tmp_path):
    model, tokenizer = begun
    save_vlm(model, new_processor(tokenizer), tmp_path)
    assert (tmp_path / "model.safetensors").stat().st_size < 8_000_000
    pool = rendered_pool(120, 5)
    questions = Questions(pool)
    rng = np.random.default_rng(1)
    asked = [messages(pool, q) for _ in range(12) if (q := questions.label(rng, 8, 2))]
    before, after = ([_label(text) for text in load_shapes_vlm(folder).answer(asked)] for folder in (FOLDER, tmp_path))
    same = [a is not None and b is not None and a.name == b.name for a, b in zip(before, after, strict=True)]
    assert sum(same) >= 10
    assert torch.isfinite(model.get_input_embeddings().weight).all()
