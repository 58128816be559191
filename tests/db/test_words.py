"""Full text: the same features in the same order from FTS5 and from PostgreSQL."""

from __future__ import annotations

import random

import pytest
from sqlalchemy import text

from autointerp.db import models, queries
from autointerp.db.words import features_with_words

from .conftest import dictionary

LABELS = [
    ("red circle", "A red circle on white."),
    ("red", "Anything that is red: circles, squares and stars."),
    ("blue or green star", "Stars of two colours."),
    ("a near miss", "The edge above and under a shape."),
    ("Crème brûlée", "Dessert."),
    ("striped circle", "Circular shapes with stripes, stripe after stripe."),
    ("2x2 grid", "Four cells; not 3x3. E.g. 1e5 or v1.2.3, http://a.b/c?d, a@b.c and C:/x"),
    ("красный круг", "Кириллица."),
    ("running", "Someone who runs."),
    ('the o\'clock -> "quoted" & (odd) | !text:* <->', "A backslash \\ and a percent % and a colon :x"),
]


def fill(database, labels):
    with database.session() as session:
        session.add_all([dictionary(num_latents=len(labels)), dictionary("other")])
        session.flush()
        rows = [{"dictionary_id": 1, "latent_index": i, "state": "live"} for i in range(len(labels))]
        queries.insert_many(session, models.Feature, rows)
        labeler = queries.ensure_labeler(session, kind="clip")
        rows = [
            {"feature_id": i + 1, "labeler_id": labeler.id, "status": "ok", "name": name, "explanation": explanation}
            for i, (name, explanation) in enumerate(labels)
        ]
        queries.insert_many(session, models.Label, rows)
    return database


def found(database, *words, dictionaries=(1,), limit=200):
    with database.session() as session:
        return [i - 1 for i in features_with_words(session, words, dictionaries, limit)]


@pytest.fixture
def words(db):
    return fill(db, LABELS)


def test_words_are_found_and_ranked(words):
    assert found(words, "red", "circle")[:2] == [0, 1] and set(found(words, "red", "circle")) == {0, 1, 5}
    assert found(words, "stripes") == [5] and found(words, "run") == [8]
    assert found(words, "brulee") == found(words, "brûlée") == [4]
    assert found(words, "above") == [3] and found(words, "круг") == [7]
    assert found(words, "nothing") == []
    assert found(words, "circle", dictionaries=(2,)) == [] and found(words, "circle", dictionaries=(2, 1), limit=1) == [
        0
    ]


@pytest.mark.parametrize("word", ["or", "and", "not", "near", "AND", "a", "the", "name", "explanation", "1e5", "2x2"])
def test_no_word_is_an_operator(words, word):
    holding = [i for i, label in enumerate(LABELS) if word.lower() in " ".join(label).lower().replace("/", " ").split()]
    assert set(holding) <= set(found(words, word))
    assert found(words, word, "dessert")


def test_both_databases_give_the_same_order(in_file, on_server):
    """BM25 written out in SQL against FTS5's own, on labels with repeated, rare and common words."""
    rng = random.Random(0)
    vocabulary = "red blue green circle square star striped dotted edge corner above left of a the shape bright".split()

    def phrase(least, most):
        return " ".join(rng.choices(vocabulary, range(len(vocabulary), 0, -1), k=rng.randint(least, most)))

    labels = [*LABELS, *((phrase(1, 4), phrase(3, 20)) for _ in range(400))]
    fill(in_file, labels)
    fill(on_server, labels)
    for _ in range(60):
        asked = list(dict.fromkeys(phrase(1, 4).split()))
        one, other = found(in_file, *asked, limit=500), found(on_server, *asked, limit=500)
        assert one == other and one


def test_changed_labels_are_found_anew_and_deleted_ones_are_not(words):
    with words.session() as session:
        session.execute(text("UPDATE labels SET name = 'purple' WHERE feature_id = 1"))
        session.execute(text("UPDATE labels SET status = 'failed' WHERE feature_id = 2"))
        session.execute(text("DELETE FROM labels WHERE feature_id = 6"))
    assert found(words, "purple") == [0] and found(words, "red") == [0] and found(words, "stripes") == []
    assert words.check() == []
