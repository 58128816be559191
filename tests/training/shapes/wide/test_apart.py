"""Questions about features of one name: what is said to differ does."""

from __future__ import annotations

import json

import numpy as np
import pytest

from autointerp.labeling.asking.replies import ApartReply, parse_reply
from autointerp.labeling.labelers.apart import OTHER_CELLS, OWN_CELLS
from training.shapes.vlm_requests import asked
from training.shapes.wide.apart import ApartQuestions
from training.shapes.wide.measure import words_of
from training.shapes.wide.words import INDEX, is_left_out


@pytest.fixture(scope="module")
def drawn(bank):
    rng = np.random.default_rng(0)
    questions = ApartQuestions(bank)
    return [q for _ in range(150) if (q := questions.draw(rng))]


def share(bank, shown, words):
    cells = np.array([(one.picture, *one.cell) for one in shown])
    rows = bank.pool.cells.atoms_at(*cells.T)
    return rows[:, [INDEX[word] for word in words]].all(1).mean()


def test_a_difference_holds_of_the_feature_and_less_of_the_others(bank, drawn):
    told = [q for q in drawn if q.difference]
    assert 0.4 < len(told) / len(drawn) < 0.95
    own, others = [], []
    for question in told:
        words = words_of(question.difference) - {"object", "background"}
        assert len(words) == 1
        assert not is_left_out(words | words_of(question.name))
        own.append(share(bank, question.own, words))
        others += [share(bank, cells, words) for n, cells in enumerate(question.others, 1) if n not in question.same]
        assert words <= words_of(question.renamed) or not question.renamed
    assert np.mean(own) > 0.95
    assert np.mean(others) < 0.45


def test_those_that_respond_to_the_same_are_said(bank, drawn):
    same = [
        share(bank, cells, words_of(q.difference) - {"object", "background"})
        for q in drawn
        if q.difference
        for n, cells in enumerate(q.others, 1)
        if n in q.same
    ]
    assert np.mean(same) > 0.9
    assert any(len(q.same) == len(q.others) for q in drawn)


def test_requests_and_replies_have_the_form_of_the_pass(drawn):
    for question in drawn[:20]:
        told, below = asked(question)
        assert question.name in told
        assert len(question.own) == OWN_CELLS
        assert {len(cells) for cells in question.others} == {OTHER_CELLS}
        assert below[0][0] == "Feature A, example 1:"
        assert below[-1][0] == f"Other feature {len(question.others)}, example {OTHER_CELLS}:"
        reply = parse_reply(question.reply, ApartReply)
        assert (tuple(reply.same), reply.difference, reply.name) == (
            question.same,
            question.difference,
            question.renamed,
        )
        assert json.loads(question.reply).keys() == {"same", "difference", "name"}
