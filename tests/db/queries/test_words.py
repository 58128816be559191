"""Full text: the same features in the same order from FTS5 and from PostgreSQL."""

from __future__ import annotations

import random

import pytest
from sqlalchemy import text

from autointerp.db import models, queries
from autointerp.db.check import find_problems
from autointerp.db.queries.labelers import LabelerKey
from autointerp.db.queries.words import features_with_prompt_words, labels_with_words, prompts_indexed_once

from ..conftest import dictionary, label

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
        queries.bulk.insert_many(session, models.Feature, rows)
        labeler = queries.labelers.ensure(session, LabelerKey("clip"))
        rows = [
            {"feature_id": i + 1, "labeler_id": labeler.id, "status": "ok", "name": name, "explanation": explanation}
            for i, (name, explanation) in enumerate(labels)
        ]
        queries.bulk.insert_many(session, models.Label, rows)
    return database


def found(database, *words, dictionaries=(1,), limit=200):
    with database.session() as session:
        return [hit.feature_id - 1 for hit in labels_with_words(session, words, dictionaries, limit)]


@pytest.fixture
def words(db):
    return fill(db, LABELS)


def test_words_are_found_and_ranked(words):
    assert found(words, "red", "circle")[:2] == [0, 1]
    assert set(found(words, "red", "circle")) == {0, 1, 5}
    assert found(words, "stripes") == [5]
    assert found(words, "run") == [8]
    assert found(words, "brulee") == found(words, "brûlée") == [4]
    assert found(words, "above") == [3]
    assert found(words, "круг") == [7]
    assert found(words, "nothing") == []
    assert found(words, "circle", dictionaries=(2,)) == []
    assert found(words, "circle", dictionaries=(2, 1), limit=1) == [0]


@pytest.mark.parametrize("word", ["or", "and", "not", "near", "AND", "a", "the", "name", "explanation", "1e5", "2x2"])
def test_no_word_is_an_operator(words, word):
    holding = [i for i, label in enumerate(LABELS) if word.lower() in " ".join(label).lower().replace("/", " ").split()]
    assert set(holding) <= set(found(words, word))
    assert found(words, word, "dessert")


def test_both_databases_give_the_same_order(in_file, on_server):
    """BM25 written out in SQL against FTS5's own, on labels with repeated, rare and common words."""
    rng = random.Random(0)
    vocabulary = [
        "red",
        "blue",
        "green",
        "circle",
        "square",
        "star",
        "striped",
        "dotted",
        "edge",
        "corner",
        "above",
        "left",
        "of",
        "a",
        "the",
        "shape",
        "bright",
    ]

    def phrase(least, most):
        return " ".join(rng.choices(vocabulary, range(len(vocabulary), 0, -1), k=rng.randint(least, most)))

    labels = [*LABELS, *((phrase(1, 4), phrase(3, 20)) for _ in range(400))]
    fill(in_file, labels)
    fill(on_server, labels)
    for _ in range(60):
        asked = list(dict.fromkeys(phrase(1, 4).split()))
        one, other = found(in_file, *asked, limit=500), found(on_server, *asked, limit=500)
        assert one == other
        assert one


def test_a_short_list_is_the_beginning_of_the_whole_one(db):
    """Of many equal matches too, and where most of the best matches are not what their labelers say now."""
    names = ["red circle", "red", "red square", "circle", "blue"] * 20
    fill(db, [(name, "") for name in names])
    whole = found(db, "red", "circle", limit=None)
    assert len(whole) == 80
    for limit in (1, 3, 20, 30, 79, 80, 200):
        assert found(db, "red", "circle", limit=limit) == whole[:limit]
    with db.session() as session:
        session.execute(text("UPDATE labels SET status = 'uninterpretable' WHERE name = 'red circle'"))
        for feature in range(1, 81):
            session.add(models.Label(feature_id=feature, labeler_id=1, status="ok", name="green"))
    whole = found(db, "red", "circle", limit=None)
    assert 0 < len(whole) < 20
    assert found(db, "red", "circle", limit=3) == whole[:3]


def test_changed_labels_are_found_anew_and_deleted_ones_are_not(words):
    with words.session() as session:
        session.execute(text("UPDATE labels SET name = 'purple' WHERE feature_id = 1"))
        session.execute(text("UPDATE labels SET status = 'failed' WHERE feature_id = 2"))
        session.execute(text("DELETE FROM labels WHERE feature_id = 6"))
    assert found(words, "purple") == [0]
    assert found(words, "red") == [0]
    assert found(words, "stripes") == []
    assert find_problems(words) == []


def test_labels_of_some_labelers_and_only_what_they_say_now(words):
    with words.session() as session:
        other = queries.labelers.ensure(session, LabelerKey("vlm"))
        session.add(models.Label(feature_id=1, labeler_id=other.id, status="ok", name="purple star"))
        session.add(models.Label(feature_id=2, labeler_id=1, status="ok", name="a new word"))
        session.add(models.Label(feature_id=3, labeler_id=1, status="uninterpretable"))
        session.add(models.Label(feature_id=5, labeler_id=1, status="failed"))
        session.flush()

        def hits(*asked, labelers=None):
            return [(h.feature_id, h.label_id) for h in labels_with_words(session, asked, [1], None, labelers)]

        assert hits("purple", labelers=[1]) == []
        assert hits("purple", labelers=[other.id]) == hits("purple") == [(1, 11)]
        assert hits("red", labelers=[other.id]) == []
        assert hits("red", labelers=[]) == []
        assert hits("squares") == []
        assert hits("green") == []
        assert hits("dessert") == [(5, 5)]
        assert [f for f, _ in hits("new")] == [2]


def told(database, *asked, limit=None):
    with database.session() as session:
        hits = features_with_prompt_words(session, asked, [1], limit)
        assert all(hit.label_id is None for hit in hits)
        return [hit.feature_id for hit in hits]


PROMPTS = [
    (1, "top", "explain", 0, "a red star"),
    (1, "top", "score", 0, "a red ring"),
    (2, "top", "explain", 0, "a red star, a Crème brûlée"),
    (2, "top", "explain", 3, "a red star"),
    (2, "top", "explain", 4, "a zebra"),
    (3, "quantile", "explain", 0, "a lion"),
]


def with_prompts(database):
    """Features with crops of some role, split and rank, each in an image of its own."""
    with database.session() as session:
        session.add(dictionary(num_latents=3))
        session.flush()
        queries.bulk.insert_many(
            session, models.Feature, [{"dictionary_id": 1, "latent_index": i, "state": "live"} for i in range(3)]
        )
        image = {"prompt_hash": "", "seed": 0, "width": 8, "height": 8, "picture": b""}
        rows = [
            {**image, "image_index": i, "generation_hash": str(i), "prompt": prompt}
            for i, (*_, prompt) in enumerate(PROMPTS)
        ]
        queries.bulk.insert_many(session, models.Image, rows)
        rows = [
            {"feature_id": feature, "image_id": i + 1, "role": role, "split": split, "rank": rank}
            | {"box_left": 0, "box_top": 0, "box_right": 8, "box_bottom": 8, "activation": 1.0}
            for i, (feature, role, split, rank, _) in enumerate(PROMPTS)
        ]
        queries.bulk.insert_many(session, models.Crop, rows)
    return database


def test_prompts_of_the_strongest_crops_are_found(db):
    with_prompts(db)
    assert sorted(told(db, "red")) == [1, 2]
    assert told(db, "rings") == [1]
    assert told(db, "brulee") == [2]
    assert told(db, "star", "ring", limit=1) == [1]
    assert told(db, "zebra") == told(db, "lion") == []
    with db.session() as session:
        session.execute(text("UPDATE crops SET rank = 2 WHERE rank = 4"))
        session.execute(text("UPDATE crops SET role = 'top', feature_id = 1 WHERE role = 'quantile'"))
        session.execute(text("DELETE FROM crops WHERE rank = 3"))
        session.execute(text("DELETE FROM images WHERE prompt = 'a red ring'"))
    assert told(db, "zebra") == [2]
    assert told(db, "lion") == [1]
    assert told(db, "ring") == []
    stale = [line for line in find_problems(db) if "word index" in line]
    assert stale == []
    with db.session() as session:
        session.execute(text("DELETE FROM features_fts WHERE rowid = 1"))
    assert "the word index holds the prompts of 1 features, 1 of them right, of 2" in find_problems(db)
    with db.session() as session:
        session.execute(text("DELETE FROM dictionaries"))
        assert session.scalar(text("SELECT count(*) FROM features_fts")) == 0


def test_prompts_of_many_crops_are_indexed_once(db):
    with_prompts(db)
    with db.session() as session, prompts_indexed_once(session, [1]):
        session.execute(text("UPDATE images SET prompt = 'a zebra' WHERE id = 1"))
        session.execute(text("DELETE FROM crops WHERE feature_id = 2"))
        assert len(features_with_prompt_words(session, ["star"], [1])) == 2
    assert [line for line in find_problems(db) if "word index" in line] == []
    assert told(db, "zebra") == [1]
    # Undone with all else, the triggers' rest too.
    with pytest.raises(RuntimeError), db.session() as session, prompts_indexed_once(session, [1]):
        raise RuntimeError
    with db.session() as session:
        session.execute(text("DELETE FROM crops"))
    assert told(db, "zebra") == []


def test_prompts_that_changed_unseen_are_stale(db):
    with_prompts(db)
    with db.session() as session:
        session.execute(text("UPDATE images SET prompt = prompt || ' and a zebra' WHERE id = 1"))
    assert "the word index holds the prompts of 2 features, 1 of them right, of 2" in find_problems(db)


def test_both_databases_rank_prompts_alike(in_file, on_server):
    for database in (with_prompts(in_file), with_prompts(on_server)):
        assert find_problems(database) == [line for line in find_problems(database) if "word index" not in line]
    for asked in (["red"], ["star", "ring"], ["a", "red", "brulee"]):
        assert told(in_file, *asked) == told(on_server, *asked) != []


def test_words_follow_the_labels(filled):
    def found(session, words):
        return [hit.feature_id for hit in labels_with_words(session, [words], [1], 10)]

    with filled.session() as session:
        clip = queries.labelers.ensure(session, LabelerKey("clip"))
        row = label(session, 1, clip, "red circles")
        label(session, 3, clip, "red ghost", "uninterpretable")
        assert found(session, "circle") == [1]
        assert found(session, "red") == [1]
        row.name = "blue square"
        session.flush()
        assert found(session, "circle") == []
        assert found(session, "square") == [1]
        row.status = "failed"
        session.flush()
        assert found(session, "square") == []
        row.status = "ok"
        session.flush()
        assert found(session, "square") == [1]
    assert find_problems(filled) == []
    with filled.session() as session:
        assert queries.dictionaries.remove(session, "shapes-turbo.mid.topk")
        assert found(session, "square") == []
