"""Questions of the wider world have true answers."""

from __future__ import annotations

import numpy as np
import pytest

from training.shapes.wide.pool import WidePool, wide_pool, world_pool
from training.shapes.wide.questions import SiteBank, WideQuestions, share_of
from training.shapes.wide.words import FINE, is_left_out


@pytest.fixture(scope="module")
def questions():
    return WideQuestions(SiteBank(WidePool.joined([world_pool(300), wide_pool(100)]), 6, 3, 0))


def test_names_are_true_of_the_shown_cells(questions):
    rng = np.random.default_rng(0)
    asked = [q for n in range(150) if (q := questions.naming(rng, 14, 3, fine=n % 3 == 0, marks=n % 4 == 0))]
    assert len(asked) > 60
    for question in asked:
        if question.spoken.atoms:
            share = share_of(questions.bank, question.sites, question.spoken.atoms)
            assert share == pytest.approx(question.spoken.share)
            assert share >= 0.7
            assert not is_left_out({word for _, word in question.spoken.atoms})
        if not question.fine:
            assert not {word for _, word in question.spoken.atoms} & FINE
        worlds = questions.pool.wide[questions.bank.picture[list(question.sites)]]
        assert len(set(worlds.tolist())) == 1
    named = np.array([bool(q.spoken.atoms) for q in asked])
    assert 0.3 < named.mean() < 0.95
    of_nothing = np.array([not q.drawn for q in asked])
    assert named[of_nothing].mean() < 0.5 < named[~of_nothing].mean()


def test_what_only_the_first_feature_has_is_not_in_the_second(questions):
    rng = np.random.default_rng(1)
    asked = [q for _ in range(300) if (q := questions.apart(rng, 10, fine=False))]
    told = [q for q in asked if q.difference.atoms]
    assert 10 < len(told) < len(asked)
    for question in told:
        first = share_of(questions.bank, question.first, question.difference.atoms)
        second = share_of(questions.bank, question.second, question.difference.atoms)
        assert first - second > 0.3
