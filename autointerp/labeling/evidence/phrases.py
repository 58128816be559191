"""Phrases of a prompt: its clauses, their content words, and every short phrase that a clause contains.

A phrase is a tuple of content words in the clause's order. The clause `large red striped circle top left` contains
`red circle`, although other words stand between, because a feature knows nothing of word order. No phrase crosses a
clause: `red circle, blue star` does not contain `red star`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import combinations

Phrase = tuple[str, ...]

FUNCTION_WORDS = frozenset(
    [
        "a",
        "an",
        "the",
        "of",
        "in",
        "on",
        "at",
        "to",
        "and",
        "or",
        "with",
        "by",
        "for",
        "from",
        "as",
        "is",
        "are",
        "was",
        "were",
        "be",
        "been",
        "its",
        "it",
        "this",
        "that",
        "these",
        "those",
        "his",
        "her",
        "their",
        "our",
        "your",
        "my",
        "some",
        "any",
        "very",
        "into",
        "onto",
        "over",
        "under",
        "near",
        "while",
        "which",
        "who",
        "there",
        "has",
        "have",
    ]
)
"""Words that name no concept."""

REGION_WORDS = frozenset(["top", "bottom", "left", "right", "upper", "lower", "center", "centre", "middle"])
"""Words of place in the picture. No crop shows them, so cells tell whether they hold, and not looks."""

_CLAUSE = re.compile(r"[,;.!?:|\n()\[\]]+")
_WORD = re.compile(r"[^\W_]+(?:['-][^\W_]+)*")
_MAX_CLAUSE_WORDS = 14


@lru_cache(maxsize=8192)
def clauses(prompt: str) -> tuple[Phrase, ...]:
    """Split a prompt at its punctuation; return each clause's content words in lower case, without empty clauses."""
    parts = []
    for part in _CLAUSE.split(prompt.lower()):
        words = tuple(w for w in _WORD.findall(part) if w not in FUNCTION_WORDS)
        if words:
            parts.append(words[:_MAX_CLAUSE_WORDS])
    return tuple(parts)


def clause_texts(text: str) -> list[str]:
    """Split a text at its punctuation; return the clauses as they are written, without those that name nothing."""
    return [part.strip() for part in _CLAUSE.split(text) if clauses(part)]


@lru_cache(maxsize=8192)
def runs(clause: Phrase, max_words: int = 3) -> frozenset[Phrase]:
    """Return the n-grams of a clause: runs of 1 to `max_words` neighbouring words."""
    return frozenset(
        clause[i : i + n] for n in range(1, max_words + 1) for i in range(len(clause) - n + 1) if len(clause) >= n
    )


@lru_cache(maxsize=8192)
def subphrases(clause: Phrase, max_words: int = 4) -> frozenset[Phrase]:
    """Return every choice of 1 to `max_words` words of a clause, in its order.

    A long clause has thousands of choices. Beyond eight words, choices of more than two words are n-grams only.
    """
    found: set[Phrase] = set(runs(clause, max_words))
    widest = max_words if len(clause) <= 8 else min(2, max_words)
    for n in range(1, widest + 1):
        found.update(combinations(clause, n))
    return frozenset(p for p in found if len(set(p)) == len(p))


@lru_cache(maxsize=8192)
def runs_and_pairs(clause: Phrase) -> frozenset[Phrase]:
    """Return the n-grams of 1 to 3 words, and all pairs of words, of a clause."""
    return frozenset(p for p in runs(clause, 3) | frozenset(combinations(clause, 2)) if len(set(p)) == len(p))


def without_regions(clause: Phrase) -> Phrase:
    """Return the clause without its words of place."""
    return tuple(w for w in clause if w not in REGION_WORDS)


def sample(prompts: Sequence[str], limit: int = 20_000) -> list[str]:
    """Return at most `limit` prompts at even distances: a part shows what is frequent, and saves memory."""
    step = max(1, -(-len(prompts) // limit))
    return list(prompts[::step])


def frequent(groups: Iterable[Iterable[Phrase]], min_count: int, limit: int) -> list[Phrase]:
    """Return the `limit` most frequent phrases that are in at least `min_count` groups, in a fixed order."""
    counts: Counter[Phrase] = Counter()
    for group in groups:
        counts.update(set(group))
    kept = sorted((-n, len(p), p) for p, n in counts.items() if n >= min_count)
    return [p for _, _, p in kept[:limit]]
