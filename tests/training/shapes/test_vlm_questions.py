"""Questions whose answers are known."""

from __future__ import annotations

import json

import numpy as np

from training.shapes.vlm_questions import (
    NEARLY_ALL,
    Shown,
    spoken_for,
    told_by_others,
)


def test_answers_are_true_of_the_pictures(pool, questions):
    rng = np.random.default_rng(4)
    for _ in range(30):
        question = questions.label(rng, 6, 2)
        reply = json.loads(question.reply)
        assert len(reply["parts"]) == 6
        if question.answer:
            row = pool.concepts.index(question.answer)
            held = [pool.masks[row][(s.picture, *s.cell)] for s in question.crops]
            assert np.mean(held) >= NEARLY_ALL
    balance = []
    for marked in (False, True):
        for _ in range(30):
            question = questions.judge(rng, 4, marked, about="red")
            mask = questions.words_mask(["red"])
            for s, answer in zip(question.shown, question.answers, strict=True):
                assert (s.cell is not None) == marked
                assert bool(mask[(s.picture, *s.cell)] if marked else mask[s.picture].any()) == answer
                balance.append(answer)
    assert 0.4 < np.mean(balance) < 0.6


def test_the_narrowest_concept_that_the_marks_share_is_named(pool):
    concepts = {concept.name: i for i, concept in enumerate(pool.concepts)}

    def marks(name, count):
        cells = np.argwhere(pool.masks[concepts[name]])
        _, first = np.unique(cells[:, 0], return_index=True)
        return [Shown(int(p), (int(r), int(c))) for p, r, c in cells[first][:count]]

    assert spoken_for(pool, marks("red", 10))[0][-1].name == "red"
    striped = marks("red striped", 8)
    named, share, sure = spoken_for(pool, striped)
    assert (named[-1].name, share) == ("red striped", 1.0)
    assert sure > 0.5
    mixed = [*marks("red", 4), *marks("blue", 3), *marks("night", 3)]
    spoken, _, _ = spoken_for(pool, mixed)
    assert spoken[-1] is None
    assert spoken[3] is not None
    # After each crop, as if there were no more.
    assert spoken == tuple(spoken_for(pool, mixed[:n])[0][-1] for n in range(1, 11))


def test_labels_are_judged_by_their_names_whatever_their_explanations_say(questions):
    rng = np.random.default_rng(11)
    others = {q.explanation for _ in range(60) if (q := questions.judge(rng, 1, about="red"))}
    assert any("mean similarity percentile" in one for one in others)
    assert "" in others
    assert any(one.startswith("Fires on red objects") for one in others)
    told = {told_by_others("red circle", rng) for _ in range(20)}
    assert len(told) == 20
    assert all("red circle" in one for one in told)
