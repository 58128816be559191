"""Full text over names and explanations of labels and over prompts, the same on both databases.

SQLite has FTS5 with its `bm25`. PostgreSQL has tsvectors of the same words (migrations 0003 and 0006) and no such
ranking, so it is written out here: Okapi BM25 as FTS5 has it, over the same tables, so that both give the same order.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

LABELS, PROMPTS = "labels_fts", "features_fts"
"""The word indexes: of labels, and of the prompts of each feature's strongest crops."""
NAME_WEIGHT, EXPLANATION_WEIGHT = 4.0, 1.0
"""A word in the name counts as often as this many in the explanation."""

_SQLITE = {
    LABELS: "SELECT rowid, -bm25(labels_fts, :name, :explanation) AS score FROM labels_fts "
    "WHERE labels_fts MATCH :match",
    PROMPTS: "SELECT rowid, -bm25(features_fts) AS score FROM features_fts WHERE features_fts MATCH :match",
}

# The words that are looked for go through the same function as the texts, and are never parsed as a query: nothing a
# user types is an operator. 1.2 and 0.75 are FTS5's k1 and b. Both are rounded, so that sums in another order tie.
_POSTGRESQL = """
    WITH asked AS MATERIALIZED (
        SELECT lexeme, count(*) AS times FROM unnest(CAST(:words AS text[])) AS word, unnest(label_words(word))
        GROUP BY lexeme
    ), one AS MATERIALIZED (
        SELECT string_agg(quote_literal(lexeme), ' | ')::tsquery AS query FROM asked
    ), every AS MATERIALIZED (
        SELECT count(*) AS texts, avg(length) AS length FROM {fts}
    ), matching AS MATERIALIZED (
        SELECT f.rowid, f.length, asked.lexeme, asked.times, {hits} AS hits
        FROM one, {fts} f, unnest(f.words) AS hit JOIN asked ON asked.lexeme = hit.lexeme
        WHERE f.words @@ one.query
    ), rare AS (
        SELECT lexeme, greatest(ln((every.texts - count(*) + 0.5) / (count(*) + 0.5)), 1e-6) AS idf
        FROM matching, every GROUP BY lexeme, every.texts
    )
    SELECT matching.rowid, sum(
        times * idf * hits * 2.2 / (hits + 1.2 * (0.25 + 0.75 * matching.length / every.length)))::numeric AS score
    FROM matching JOIN rare ON rare.lexeme = matching.lexeme, every GROUP BY matching.rowid
"""
_HITS = {
    LABELS: "(SELECT sum(CASE w WHEN 'A' THEN CAST(:name AS float8) ELSE :explanation END) FROM unnest(hit.weights) w)",
    PROMPTS: "CAST(cardinality(hit.positions) AS float8)",
}

# Of what a labeler has said of a feature, the newest result counts, if it is ok. Many features have the same name: of
# equal matches the one that its labeler is surest of comes first.
_OF_LABELS = """
WITH found AS MATERIALIZED ({found})
SELECT labels.feature_id, labels.id, round(found.score, 12) AS rounded FROM found
JOIN labels ON labels.id = found.rowid
JOIN features ON features.id = labels.feature_id
WHERE features.dictionary_id IN ({dictionaries}) {labelers} AND NOT EXISTS (
    SELECT 1 FROM labels AS later WHERE later.feature_id = labels.feature_id AND later.labeler_id = labels.labeler_id
    AND later.id > labels.id AND later.status <> 'failed'
) {best}
ORDER BY rounded DESC, labels.confidence DESC, labels.feature_id, labels.id {limit}
"""
_OF_PROMPTS = """
WITH found AS MATERIALIZED ({found})
SELECT features.id, NULL, round(found.score, 12) AS rounded FROM found
JOIN features ON features.id = found.rowid
WHERE features.dictionary_id IN ({dictionaries}) {best}
ORDER BY rounded DESC, features.id {limit}
"""
# What is found beyond the best matches is looked up only where these do not fill the list, because common words match
# a third of all labels. Matches that are equal once they are rounded stay together: what is looked up decides their
# order. Only what is looked up is rounded.
_BEST = "AND found.score >= coalesce((SELECT score FROM found ORDER BY score DESC LIMIT 1 OFFSET {beyond}), 0) - 1e-11"
_BEYOND = 2
"""How many times as many matches as are wanted are taken for the best ones."""


@dataclass(frozen=True)
class WordHit:
    """A feature whose label, or whose prompts where `label_id` is None, hold some of the words; larger is better."""

    feature_id: int
    label_id: int | None
    score: float


def labels_with_words(
    session: Session,
    words: Sequence[str],
    dictionary_ids: Sequence[int],
    limit: int | None = None,
    labelers: Collection[int] | None = None,
) -> list[WordHit]:
    """What labelers say now, where it holds any of the words, best first.

    Args:
        session: An open session.
        words: Letters and digits alone, in any language; at least one.
        dictionary_ids: Where to look.
        limit: Labels at most.
        labelers: Only labels of these.
    """
    of = "" if labelers is None else f"AND labels.labeler_id IN ({_listed(labelers)})"
    return _found(session, LABELS, _OF_LABELS, words, dictionary_ids, limit, of)


def features_with_prompt_words(
    session: Session, words: Sequence[str], dictionary_ids: Sequence[int], limit: int | None = None
) -> list[WordHit]:
    """Features, labeled or not, of whose strongest crops the prompts hold any of the words, best first.

    The arguments are those of `labels_with_words`.
    """
    return _found(session, PROMPTS, _OF_PROMPTS, words, dictionary_ids, limit)


def _listed(ids: Collection[int]) -> str:
    return ", ".join(str(int(i)) for i in ids) or "NULL"


def _found(
    session: Session,
    fts: str,
    query: str,
    words: Sequence[str],
    dictionary_ids: Sequence[int],
    limit: int | None,
    labelers: str = "",
) -> list[WordHit]:
    weights = {"name": NAME_WEIGHT, "explanation": EXPLANATION_WEIGHT} if fts == LABELS else {}
    if session.get_bind().dialect.name == "sqlite":
        found, asked = _SQLITE[fts], {"match": " OR ".join(f'"{word}"' for word in words)}
    else:
        found, asked = _POSTGRESQL.format(fts=fts, hits=_HITS[fts]), {"words": list(words)}  # type: ignore[dict-item]
    at_most = "" if limit is None else f"LIMIT {int(limit)}"
    several = {"found": found, "dictionaries": _listed(dictionary_ids), "labelers": labelers, "limit": at_most}
    if limit is not None:
        best = query.format(**several, best=_BEST.format(beyond=_BEYOND * int(limit)))
        if len(hits := _hits(session, best, {**weights, **asked})) == limit:
            return hits
    return _hits(session, query.format(**several, best=""), {**weights, **asked})


def _hits(session: Session, query: str, values: dict[str, Any]) -> list[WordHit]:
    rows = session.execute(text(query), values)
    return [WordHit(feature_id, label_id, float(score)) for feature_id, label_id, score in rows]


@contextmanager
def prompts_indexed_once(session: Session, dictionary_ids: Sequence[int]) -> Iterator[None]:
    """Within it the triggers on crops rest; at its end the prompts of these dictionaries' features are indexed.

    For writing many crops: else a feature is indexed anew with each of its strongest ones. All is undone with the
    caller's transaction. `dictionary_ids` is read at the end, and may be filled meanwhile.
    """
    if session.get_bind().dialect.name == "sqlite":
        found = "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND name LIKE 'features_fts%'"
        triggers = session.execute(text(found)).all()
        rest = [f"DROP TRIGGER {name}" for name, _ in triggers]
        work = [sql for _, sql in triggers]
    else:
        rest, work = (["ALTER TABLE crops " + way + " TRIGGER features_fts_write"] for way in ("DISABLE", "ENABLE"))
    # Python's sqlite3 begins a transaction before a write, but not before what follows.
    session.execute(text("DELETE FROM features_fts WHERE rowid < 0"))
    connection = session.connection()
    for statement in rest:
        connection.exec_driver_sql(statement)
    yield
    session.flush()
    for statement in work:
        connection.exec_driver_sql(statement)
    of = f"SELECT id FROM features WHERE dictionary_id IN ({_listed(dictionary_ids)})"
    session.execute(text(f"DELETE FROM features_fts WHERE rowid IN ({of})"))
    one = "SELECT min(id) FROM crops WHERE role = 'top' AND rank < 4 GROUP BY feature_id"
    session.execute(text(f"UPDATE crops SET rank = rank WHERE feature_id IN ({of}) AND id IN ({one})"))


def stale_words(session: Session) -> list[str]:
    """One line for each word index that does not hold what it should and nothing else, as it is."""
    lite = session.get_bind().dialect.name == "sqlite"
    same = (
        "labels_fts.name = labels.name AND labels_fts.explanation = labels.explanation"
        if lite
        else "labels_fts.words = setweight(label_words(labels.name), 'A') || label_words(labels.explanation)"
    )
    ok = session.scalar(text("SELECT count(*) FROM labels WHERE status = 'ok'"))
    indexed = session.scalar(text("SELECT count(*) FROM labels_fts"))
    both = session.scalar(
        text(
            "SELECT count(*) FROM labels JOIN labels_fts ON labels_fts.rowid = labels.id "
            f"WHERE labels.status = 'ok' AND {same}"
        )
    )
    found = []
    if not ok == both == indexed:
        found.append(f"the word index holds {indexed} labels, {both} of them right, of {ok}")
    # The order in which prompts were joined is the database's own, and means nothing.
    joined, kept = "sum(length(images.prompt)) + count(*) - 1", "length(features_fts.prompts)"
    if not lite:
        one = "SELECT coalesce(sum(cardinality(positions)), 0) FROM unnest(label_words(images.prompt))"
        joined, kept = f"sum(({one}))", "features_fts.length"
    told = (
        f"SELECT crops.feature_id, {joined} AS size FROM crops JOIN images ON images.id = crops.image_id "
        "WHERE crops.role = 'top' AND crops.rank < 4 GROUP BY crops.feature_id"
    )
    have = session.scalar(text(f"SELECT count(*) FROM ({told}) AS told"))
    indexed = session.scalar(text("SELECT count(*) FROM features_fts"))
    both = session.scalar(
        text(
            f"SELECT count(*) FROM ({told}) AS told JOIN features_fts ON features_fts.rowid = told.feature_id "
            f"WHERE told.size = {kept}"
        )
    )
    if not have == both == indexed:
        found.append(f"the word index holds the prompts of {indexed} features, {both} of them right, of {have}")
    return found
