"""Questions of the second training: exact truth in the answers, parts among the names, marks that nearly fit."""

from __future__ import annotations

import json

import numpy as np
import pytest

from autointerp.shapes.extensions import Atoms
from training.shapes.refine.questions import JUDGE_KINDS, RefiningQuestions, said_whole
from training.shapes.refine.simulated import Directions
from training.shapes.vlm_features import markable_cells
from training.shapes.vlm_text import concept_name


@pytest.fixture(scope="module")
def refining(pool):
    markable = markable_cells(pool, 0)
    return RefiningQuestions(pool, markable, Directions(pool, markable).bank(12, 1))


@pytest.fixture(scope="module")
def judged(refining):
    return [refining.judge(np.random.default_rng((1, n)), 1, marked=True) for n in range(400)]


def test_answers_are_what_the_name_means_to_the_ruler(pool, judged):
    """Of every name that the ruler reads, the answer is whether it holds in the marked cell."""
    atoms, checked = Atoms.of_cells(pool.cells), 0
    for question in judged:
        extension = atoms.extension(question.name)
        if extension.problem or question.kind == "foreign":
            continue
        (shown,) = question.shown
        assert extension.holds[(shown.picture, *shown.cell)] == question.answers[0], question.name
        checked += 1
    assert checked > 300


def test_every_kind_of_name_is_asked_as_often_true_as_false(judged):
    kinds = {question.kind for question in judged}
    assert kinds == set(JUDGE_KINDS)
    true = np.mean([question.answers[0] for question in judged if question.kind != "foreign"])
    assert 0.4 < true < 0.6


def test_wrong_marks_of_edges_are_insides_and_cells_beside_objects_too(pool, refining):
    wrong = []
    for n in range(300):
        question = refining.judge(np.random.default_rng((2, n)), 1, True, about="edge")
        if not question.answers[0]:
            (shown,) = question.shown
            wrong.append(int(pool.cells["part"][(shown.picture, *shown.cell)]))
    assert wrong.count(0) == 0
    assert min(wrong.count(1), wrong.count(-1)) > 0.15 * len(wrong)


def test_a_name_of_a_part_is_never_said_of_the_whole():
    """`edge of a red circle` is not a way to say `red circle`."""
    said = [said_whole(("red", "circle"), np.random.default_rng(n)) for n in range(200)]
    assert not [name for name in said if "edge" in name or "inside" in name]
    assert len(set(said)) > 5


def test_a_name_is_what_the_cells_speak_for_and_else_there_is_none(refining):
    answers = []
    for n in range(120):
        question = refining.label(np.random.default_rng((3, n)), 20, 3)
        reply = json.loads(question.reply)
        assert reply["interpretable"] == (question.answer is not None)
        assert reply["name"] == (concept_name(question.answer) if question.answer else "")
        assert refining.rule.spoken(question.crops).common == question.common
        answers.append(question.answer)
    assert 0.15 < np.mean([answer is None for answer in answers]) < 0.55


def test_cells_of_a_direction_are_one_a_picture(refining):
    for n in range(20):
        shown, silent = refining._direction(12, np.random.default_rng((4, n)))
        pictures = [s.picture for s in shown]
        assert len(set(pictures)) == 12
        assert not set(pictures) & set(silent.tolist())
