"""Full text over the names and explanations of labels, the same on both databases.

SQLite has FTS5 with its `bm25`. PostgreSQL has a tsvector of the same words (migration 0003) and no such ranking, so
it is written out here: Okapi BM25 as FTS5 has it, over the same table, so that both give the same order.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from sqlalchemy import text
from sqlalchemy.orm import Session

NAME_WEIGHT, EXPLANATION_WEIGHT = 4.0, 1.0
"""A word in the name counts as often as this many in the explanation."""

_SQLITE = """
SELECT labels.feature_id FROM labels_fts
JOIN labels ON labels.id = labels_fts.rowid
JOIN features ON features.id = labels.feature_id
WHERE labels_fts MATCH :match AND features.dictionary_id IN ({ids}){said}
ORDER BY round(bm25(labels_fts, :name, :explanation), 12), labels.feature_id LIMIT :limit
"""

# The words that are looked for go through the same function as the labels, and are never parsed as a query: nothing a
# user types is an operator. 1.2 and 0.75 are FTS5's k1 and b. Both are rounded, so that sums in another order tie.
_POSTGRESQL = """
WITH asked AS MATERIALIZED (
    SELECT lexeme, count(*) AS times FROM unnest(CAST(:words AS text[])) AS word, unnest(label_words(word))
    GROUP BY lexeme
), one AS MATERIALIZED (
    SELECT string_agg(quote_literal(lexeme), ' | ')::tsquery AS query FROM asked
), every AS MATERIALIZED (
    SELECT count(*) AS labels, avg(length) AS length FROM labels_fts
), found AS MATERIALIZED (
    SELECT f.rowid, f.length, asked.lexeme, asked.times,
        (SELECT sum(CASE w WHEN 'A' THEN CAST(:name AS float8) ELSE :explanation END) FROM unnest(hit.weights) w)
            AS hits
    FROM one, labels_fts f, unnest(f.words) AS hit JOIN asked ON asked.lexeme = hit.lexeme
    WHERE f.words @@ one.query
), rare AS (
    SELECT lexeme, greatest(ln((every.labels - count(*) + 0.5) / (count(*) + 0.5)), 1e-6) AS idf
    FROM found, every GROUP BY lexeme, every.labels
)
SELECT labels.feature_id FROM found
JOIN rare ON rare.lexeme = found.lexeme
JOIN labels ON labels.id = found.rowid
JOIN features ON features.id = labels.feature_id, every
WHERE features.dictionary_id IN ({ids}){said}
GROUP BY found.rowid, labels.feature_id
ORDER BY round(sum(times * idf * hits * 2.2 / (hits + 1.2 * (0.25 + 0.75 * found.length / every.length)))::numeric, 12)
    DESC, labels.feature_id
LIMIT :limit
"""


def features_with_words(
    session: Session,
    words: Sequence[str],
    dictionary_ids: Sequence[int],
    limit: int,
    labelers: Collection[int] | None = None,
) -> list[int]:
    """Features of these dictionaries whose ok labels hold any of the words, best first, each once.

    Args:
        session: An open session.
        words: Letters and digits alone, in any language; at least one.
        dictionary_ids: Where to look.
        limit: Labels considered at most.
        labelers: Whose labels; None for all.
    """
    # Nothing is in a list without anything; databases want one in it.
    whose = ", ".join(str(int(i)) for i in labelers or [0])
    said = "" if labelers is None else f" AND labels.labeler_id IN ({whose})"
    ids = ", ".join(str(int(i)) for i in dictionary_ids)
    values = {"name": NAME_WEIGHT, "explanation": EXPLANATION_WEIGHT, "limit": limit}
    if session.get_bind().dialect.name == "sqlite":
        match = " OR ".join(f'"{word}"' for word in words)
        found = session.scalars(text(_SQLITE.format(ids=ids, said=said)), {**values, "match": match})
    else:
        found = session.scalars(text(_POSTGRESQL.format(ids=ids, said=said)), {**values, "words": list(words)})
    return list(dict.fromkeys(found))


def stale_words(session: Session) -> list[str]:
    """One line where the word index does not hold the ok labels and no others, as they are."""
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
    if ok == both == indexed:
        return []
    return [f"the word index holds {indexed} labels, {both} of them right, of {ok}"]
