"""Questions of the wider world have true answers."""

from __future__ import annotations

import json

import numpy as np
import pytest

from training.shapes.wide.questions import OF_PARTS, OF_WORLD, WideQuestions
from training.shapes.wide.sayings import phrase
from training.shapes.wide.words import INDEX, NEVER_SEEN, ON_OBJECT, PARTS, is_left_out


@pytest.fixture(scope="module")
def questions(bank):
    return WideQuestions(bank)


def holding(questions, shown, words):
    """The share of marked cells in which words hold."""
    cells = np.array([(one.picture, *one.cell) for one in shown])
    rows = questions.bank.pool.cells.atoms_at(*cells.T)
    return rows[:, [INDEX[word] for word in words]].all(1).mean()


def test_names_are_true_of_the_shown_cells(questions):
    rng = np.random.default_rng(0)
    asked = [q for _ in range(120) if (q := questions.label(rng, 12, 3))]
    assert len(asked) > 60
    for question in asked:
        words = {word for _, word in question.spoken.atoms}
        reply = json.loads(question.reply)
        assert reply["interpretable"] == bool(words)
        assert reply["name"] == phrase(sorted(question.spoken.atoms))
        assert not is_left_out(words)
        if words:
            assert holding(questions, question.crops, words) >= 0.5
        assert all(questions.bank.pool.wide[s.picture] for s in (*question.crops, *question.negatives))
    named = np.array([bool(q.spoken.atoms) for q in asked])
    of_nothing = np.array([not q.words for q in asked])
    assert named[of_nothing].mean() < 0.5 < named[~of_nothing].mean()


def test_every_word_is_asked_about_but_those_never_seen(questions):
    assert len(questions.words) > 100
    assert not set(questions.words) & {*NEVER_SEEN, "background"}


def test_half_of_the_names_to_judge_are_true_of_the_mark(questions):
    rng = np.random.default_rng(1)
    asked = [q for _ in range(120) if (q := questions.judge(rng))]
    answers = [q.answers[0] for q in asked]
    assert 0.3 < np.mean(answers) < 0.7
    # Names are said by synonyms too; those that are words of the world's own list can be read here.
    plain = [(q, q.name) for q in asked if q.name in INDEX]
    assert plain
    for question, word in plain:
        assert bool(holding(questions, question.shown, [word])) == question.answers[0]


def test_a_judge_is_asked_about_parts_in_pictures_of_the_world(questions):
    rng = np.random.default_rng(2)
    asked = [q for _ in range(300) if (q := questions.judge(rng))]
    of_world = [q for q in asked if not questions.bank.pool.wide[q.shown[0].picture]]
    assert OF_WORLD - 0.15 < len(of_world) / len(asked) < OF_WORLD + 0.15
    said = {phrase([("", part)]): part for part in PARTS}
    plain = [(q, said[q.name]) for q in of_world if q.name in said]
    assert len(plain) > len(of_world) / 2
    for question, part in plain:
        assert bool(holding(questions, question.shown, [part])) == question.answers[0]
    # A wrong mark of a side is often at an object too.
    wrong = [q for q, part in plain if not q.answers[0] and part in ON_OBJECT]
    assert np.mean([holding(questions, q.shown, ["object"]) for q in wrong]) > 0.3


def test_parts_are_asked_about_more_often_than_other_words(questions):
    rng = np.random.default_rng(3)
    drawn = [questions._feature(rng) for _ in range(400)]
    of_parts = np.mean([bool(words & set(PARTS)) for words in drawn])
    assert of_parts > OF_PARTS
