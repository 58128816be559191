"""Whatever shapes-vlm prefers at each token, its replies can be read."""

import numpy as np
import pytest

from autointerp.labeling.asking.replies import DetectReply, LabelReply, parse_reply
from autointerp.shapes.reply_form import ANSWERS, EXPLANATION, LONGEST, MOST_PARTS, NAME, VERDICTS, ReplyForm
from autointerp.shapes.vlm import MAX_TOKENS
from training.shapes.vlm_pool import rendered_pool
from training.shapes.vlm_questions import Questions
from training.shapes.vlm_text import new_tokenizer


@pytest.fixture(scope="module")
def tokenizer():
    return new_tokenizer()


@pytest.fixture(scope="module")
def form(tokenizer):
    return ReplyForm(tokenizer)


def written(form, tokenizer, start, rng):
    """A reply in which each token is drawn from those that are allowed, and how many tokens it has."""
    reply = [tokenizer.convert_tokens_to_ids(start)]
    while reply[-1] != tokenizer.eos_token_id:
        assert len(reply) < MAX_TOKENS
        reply.append(int(rng.choice(sorted(form.allowed(reply)))))
    assert list(form.allowed([*reply, tokenizer.pad_token_id])) == [tokenizer.eos_token_id]
    return tokenizer.decode(reply[:-1])


def test_any_label_reply_that_is_allowed_is_read(form, tokenizer):
    rng = np.random.default_rng(0)
    found = [parse_reply(written(form, tokenizer, NAME, rng), LabelReply) for _ in range(60)]
    assert all(bool(reply.name) == reply.interpretable and 1 <= len(reply.parts) <= MOST_PARTS for reply in found)


def test_the_answers_of_a_judge_are_no_words_of_a_name(form, tokenizer):
    verdicts = {tokenizer.convert_tokens_to_ids(piece) for piece in VERDICTS}
    name, named = tokenizer.convert_tokens_to_ids(NAME), tokenizer.encode("red", add_special_tokens=False)
    for reply in ([name], [name, *named], [name, *named, tokenizer.convert_tokens_to_ids(EXPLANATION), *named]):
        assert len(form.allowed(reply)) > 100
        assert not verdicts & form.allowed(reply)


def test_a_reply_is_closed_after_its_confidence_and_is_read(form, tokenizer):
    rng = np.random.default_rng(2)
    for _ in range(20):
        whole = written(form, tokenizer, NAME, rng)
        ids = tokenizer(whole, add_special_tokens=False)["input_ids"]
        closed = [n for n in range(1, len(ids) + 1) if form.closing(ids[:n])]
        short = parse_reply(tokenizer.decode(ids[: closed[0]]) + form.closing(ids[: closed[0]]), LabelReply)
        assert short.model_copy(update={"parts": []}) == parse_reply(whole, LabelReply).model_copy(update={"parts": []})
    assert form.closing([]) is None


def test_any_judgement_that_is_allowed_is_read(form, tokenizer):
    rng = np.random.default_rng(1)
    found = [parse_reply(written(form, tokenizer, ANSWERS, rng), DetectReply) for _ in range(60)]
    assert all(1 <= len(reply.answers) <= MOST_PARTS for reply in found)
    assert len({len(reply.answers) for reply in found}) > 2


def test_a_reply_begins_as_a_label_or_a_judgement(form, tokenizer):
    assert set(tokenizer.convert_ids_to_tokens(form.allowed([]))) == {NAME, ANSWERS}


def test_every_reply_that_is_taught_is_allowed(form, tokenizer):
    rng, questions = np.random.default_rng(2), Questions(rendered_pool(160))
    taught = [questions.label(rng, count, 3).reply for count in (1, 8, 20) for _ in range(20)]
    taught += [questions.judge(rng, count, marked).reply for count in (1, 8) for marked in (False, True)]
    for reply in taught:
        ids = [*tokenizer.encode(reply, add_special_tokens=False), tokenizer.eos_token_id]
        assert all(token in form.allowed(ids[:n]) for n, token in enumerate(ids)), reply
    assert {'"interpretable": false' in reply for reply in taught[:60]} == {True, False}


def test_no_word_follows_itself(form, tokenizer):
    name, explanation = (tokenizer.convert_tokens_to_ids(piece) for piece in (NAME, EXPLANATION))
    first, (fires, on, edge) = tokenizer.convert_tokens_to_ids("edge"), tokenizer.encode("Fires on edge")
    (of,) = tokenizer.encode(" of", add_special_tokens=False)
    assert first != edge
    assert edge in form.allowed([name, first, explanation, fires, on])
    for reply in ([name, first], [name, first, explanation, fires, on, edge]):
        assert edge not in form.allowed(reply)
        assert of in form.allowed(reply)
    # A word is one of several pieces where it is not known, and those may be alike.
    assert first in form.allowed([name, first])


def test_a_name_that_goes_on_is_ended(form, tokenizer):
    red = tokenizer.convert_tokens_to_ids("red")
    start = tokenizer.convert_tokens_to_ids(NAME)
    (only,) = form.allowed([start] + [red] * LONGEST[NAME])
    assert tokenizer.convert_ids_to_tokens(only) == EXPLANATION
