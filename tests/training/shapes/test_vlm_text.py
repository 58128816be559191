"""Replies and prompts as the tokens of the vision-language model."""

from __future__ import annotations

import numpy as np

from autointerp.labeling.asking.messages import TOLD
from autointerp.labeling.asking.replies import DetectReply, LabelReply, parse_reply
from autointerp.labeling.asking.templates import load_prompt
from autointerp.shapes.concepts import all_concepts
from autointerp.shapes.truth import names_truth
from training.shapes.vlm_questions import (
    said,
)
from training.shapes.vlm_text import (
    concept_name,
    explanation,
    judge_reply,
    label_reply,
    new_tokenizer,
    phrases,
    plain_tokenizer,
)


def test_texts_come_back_and_prompts_are_short(tokenizer):
    replies = [label_reply(concept, 0.9, 0.83, ["night background"]) for concept in [*all_concepts(), None]]
    replies += [judge_reply([True, False]), 'any "text"\nat all: é ✓ 1.05']
    prompt = load_prompt("label.md.j2").render(marked=True, mark=TOLD["dim"], context=False, negatives=True, notes="")
    for text in [*replies, prompt]:
        assert tokenizer.decode(tokenizer.encode(text)) == text
    assert len(tokenizer.encode(prompt)) < 40
    plain = plain_tokenizer(tokenizer)
    assert len(plain.encode(prompt).ids) > 150
    assert plain.decode(plain.encode(prompt).ids) == prompt
    assert max(len(tokenizer.encode(reply)) for reply in replies[:-3]) < 32


def test_the_tokenizer_is_always_the_same(tokenizer):
    assert new_tokenizer().get_vocab() == tokenizer.get_vocab()
    assert all(len(tokenizer.encode(phrase)) == 1 for phrase in phrases())


def test_replies_are_read_back_and_name_their_concept():
    for concept in all_concepts():
        reply = parse_reply(label_reply(concept, 0.85, 0.94, ["a", "b"]), LabelReply)
        assert names_truth(reply.name, concept)
        assert len(reply.name.split()) <= 6
        assert reply.interpretable
        assert reply.confidence == 0.9
        assert reply.parts == ["1: a", "2: b"]
        assert reply.explanation == explanation(concept, 0.85)
        assert "nearly all" in reply.explanation
        if concept.kind == "pair":
            assert names_truth(reply.explanation, concept), reply.explanation
    assert not parse_reply(label_reply(None, 0.0, 1.0, []), LabelReply).interpretable
    assert parse_reply(judge_reply([True, False]), DetectReply).answers == [True, False]
    assert concept_name(next(c for c in all_concepts() if c.name == "night")) == "night background"


def test_names_as_labelers_put_them():
    rng, pair = np.random.default_rng(5), next(c for c in all_concepts() if c.name == "red circle")
    names = {said(("red", "circle"), rng) for _ in range(200)}
    assert len(names) > 6
    assert all(names_truth(name, pair) for name in names)
    placed = {said(("red", "top left"), rng) for _ in range(200)}
    assert {"red, top left", "red at the top left"} <= placed
