"""Every caption goes through the small tokenizers and comes back."""

import numpy as np
import pytest

from autointerp.shapes.scenes import sample_scene
from training.shapes.tokenizers import MAX_TOKENS, clip_tokenizer, t5_tokenizer, world_words


@pytest.mark.parametrize("make", [clip_tokenizer, t5_tokenizer])
def test_captions_round_trip(make):
    tokenizer = make()
    rng = np.random.default_rng(0)
    for _ in range(50):
        caption = sample_scene(rng).caption
        ids = tokenizer(caption).input_ids
        assert len(ids) <= MAX_TOKENS
        words = tokenizer.decode(ids, skip_special_tokens=True).replace(",", " ").split()
        assert words == caption.replace(",", " ").split()


def test_each_word_is_one_token():
    clip, t5 = clip_tokenizer(), t5_tokenizer()
    for word in world_words():
        assert len(clip(word).input_ids) == 3
        if word != ",":
            assert len(t5(word).input_ids) == 2


def test_foreign_words():
    clip, t5 = clip_tokenizer(), t5_tokenizer()
    ids = clip("giraffe").input_ids
    assert len(ids) == 9
    assert clip.decode(ids, skip_special_tokens=True).replace(" ", "") == "giraffe"
    assert t5.unk_token_id in t5("giraffe").input_ids
    assert len(clip("x" * 99, truncation=True).input_ids) == MAX_TOKENS
