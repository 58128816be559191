"""The ledger's rows: the newest answer counts, and answers of no use can be forgotten."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import select

from autointerp.db import models, queries


@dataclass(frozen=True)
class Attempt:
    request_hash: str
    answer: str | None
    error: str = ""
    purpose: str = "label"
    model: str = "m"
    input_tokens: int = 10
    output_tokens: int = 1
    cost: float | None = 0.5
    latency_ms: float = 1.0


def record(db, *attempts):
    with db.session() as session:
        queries.calls.record(session, attempts)
        return queries.calls.newest_id(session)


def find(db, request, after=0):
    with db.engine.connect() as connection:
        return queries.calls.find_answer(connection, request, after)


def test_the_newest_answer_is_found(db):
    record(db, Attempt("a", "old"), Attempt("a", "new"), Attempt("a", None, "busy"), Attempt("b", None, "busy"))
    assert find(db, "a") == ("new", "")
    assert find(db, "b") is None
    assert find(db, "c") is None


def test_an_answer_of_no_use_counts_only_if_it_is_new(db):
    assert record(db) == 0
    before = record(db, Attempt("a", "whole"), Attempt("a", "half"))
    with db.session() as session:
        queries.calls.reject(session, "a", "x" * 1000)
    # A command that asks again takes the newest answer that is of use.
    assert find(db, "a", before) == ("whole", "")
    assert find(db, "a") == ("half", "x" * 400)


def test_long_purposes_are_cut(db):
    record(db, Attempt("a", "x", purpose="p" * 99))
    with db.session() as session:
        assert session.scalar(select(models.Call.purpose)) == "p" * 32


def test_counts(filled):
    record(filled, Attempt("a", "x"), Attempt("b", None), Attempt("c", "y", cost=None))
    with filled.session() as session:
        counts = queries.calls.counts(session)
    assert (counts.calls, counts.answers, counts.input_tokens, counts.output_tokens) == (3, 2, 30, 3)
    assert (counts.spent, counts.unpriced) == (1.0, 1)
    assert (counts.named, counts.unnamed) == (0, 0)


def test_answers_of_a_model_on_this_machine_are_free(filled):
    record(filled, Attempt("a", "x", cost=0.0), Attempt("b", "y", cost=None))
    with filled.session() as session:
        session.add(models.LabelerRow(kind="shapes-vlm", model="m", base_url="", prompt_hash="p", config_hash="c"))
    with filled.session() as session:
        assert session.scalar(select(models.Call.model)) == "m"
        assert queries.calls.counts(session).unpriced == 0
