"""Whatever a model prefers at each token, what it says of features of one name can be read."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from autointerp.labeling.asking.replies import ApartReply, parse_reply
from training.shapes.vlm_text import MOST_OTHERS, new_tokenizer
from training.shapes.wide.reply_form import ApartForm


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return new_tokenizer()


@pytest.fixture(scope="module")
def form(tokenizer: Any) -> ApartForm:
    return ApartForm(tokenizer)


def test_any_difference_that_is_allowed_is_read(form: Any, tokenizer: Any) -> None:
    rng = np.random.default_rng(3)
    found = []
    for _ in range(60):
        reply: list[int] = []
        while not reply or reply[-1] != tokenizer.eos_token_id:
            assert len(reply) < 40
            reply.append(int(rng.choice(sorted(form.allowed(reply)))))
            assert form.closing(reply) is None
        found.append(parse_reply(tokenizer.decode(reply[:-1]), ApartReply))
    for one in found:
        assert list(one.same) == sorted(set(one.same))
        assert set(one.same) <= set(range(1, MOST_OTHERS + 1))
    assert {len(one.same) for one in found} >= {0, 1, 2}


def test_every_reply_that_is_taught_is_allowed(form, tokenizer):
    for same, said, name in (([], "left half", ""), ([1, 3, 5], "large", "large red circle"), ([2, 5], "", "")):
        reply = json.dumps({"same": same, "difference": said, "name": name})
        ids = [*tokenizer.encode(reply, add_special_tokens=False), tokenizer.eos_token_id]
        assert all(token in form.allowed(ids[:n]) for n, token in enumerate(ids)), reply
