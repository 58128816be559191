"""Search: how often each route, and all fused, find features that are truly about what is asked for.

On a labeled workspace of shapes, where the truth of every feature is known (`autointerp evaluate`). Asked are every
single concept that is the truth of some feature, 40 pairs, and the hundred paraphrases of `paraphrases.txt`.

A feature answers a question if its truth says every word of it: `large striped` answers `striped`. A pair that no
truth says in full is answered by the truths that say one of its words. Questions that nothing answers are left out and
counted. recall@10 is the share of the answers, or of ten of them where there are more, that are among the first ten;
MRR is the mean of one over the rank of the first answer.

    python -m benchmarks.search WORKSPACE --layer mid
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

PARAPHRASES = Path(__file__).with_name("paraphrases.txt")
PAIRS, FIRST = 40, 10


@dataclass(frozen=True)
class Asked:
    """A text, and the latents that answer it."""

    text: str
    answers: frozenset[int]


def paraphrases() -> list[tuple[str, tuple[str, ...]]]:
    """Text and words of the concept, in the order of the file."""
    lines = PARAPHRASES.read_text(encoding="utf-8").splitlines()
    told = [line.split("|") for line in lines if line and not line.startswith("#")]
    return [(text, tuple(words.split(","))) for text, words in told]


def answers(words: Sequence[str], truths: dict[int, frozenset[str]]) -> frozenset[int]:
    """The latents that answer a question of these words."""
    whole = frozenset(latent for latent, said in truths.items() if said >= set(words))
    if whole or len(words) == 1:
        return whole
    return frozenset(latent for latent, said in truths.items() if said <= set(words))


def questions(truths: dict[int, frozenset[str]]) -> dict[str, list[Asked]]:
    """The three sets; the pairs are those that a truth says, filled up with others that are drawn."""
    from autointerp.shapes.concepts import all_concepts

    concepts = all_concepts()
    single = [c for c in concepts if len(c.words) == 1 and any(said == set(c.words) for said in truths.values())]
    pairs = [c for c in concepts if c.kind == "pair"]
    random.Random(0).shuffle(pairs)
    pairs.sort(key=lambda c: all(said != set(c.words) for said in truths.values()))
    told = [Asked(text, answers(words, truths)) for text, words in paraphrases()]
    return {
        "single concepts": [Asked(c.name, answers(c.words, truths)) for c in single],
        "pairs": [Asked(c.name, found) for c in pairs if (found := answers(c.words, truths))][:PAIRS],
        "paraphrases": [asked for asked in told if asked.answers],
    }


def figures(asked: Sequence[Asked], ranked: Sequence[Sequence[int]]) -> tuple[float, float]:
    """recall@10 and MRR."""
    recall = [
        len(one.answers & set(found[:FIRST])) / min(len(one.answers), FIRST)
        for one, found in zip(asked, ranked, strict=True)
    ]
    first = [
        next((1 / rank for rank, latent in enumerate(found, 1) if latent in one.answers), 0.0)
        for one, found in zip(asked, ranked, strict=True)
    ]
    return fmean(recall), fmean(first)


def ranked_by(searcher: Any, asked: Asked, filters: Any, latents: dict[int, int]) -> dict[str, list[int]]:
    """Latents by each route, and by all fused."""
    from autointerp.views.search.route import PROMPTS

    ranked = searcher.rank(asked.text, filters)
    found = {**ranked.by_list, "fused": [one.id for one in ranked.fused()]}
    found["words"] = found["words"] + found.pop(PROMPTS, [])
    return {route: [latents[feature] for feature in features] for route, features in found.items()}


def known_truths(ctx: Any, row: Any, kept: Path | None) -> dict[int, frozenset[str]]:
    """Latent -> the words of its truth; measured, or as they were kept."""
    if kept is not None and kept.exists():
        return {int(latent): frozenset(words) for latent, words in json.loads(kept.read_text()).items()}
    from autointerp.stages.evaluate.evaluating import truths_of

    found = {i: truth.concept.words for i, truth in enumerate(truths_of(ctx, row)) if truth is not None}
    if kept is not None:
        kept.write_text(json.dumps(found))
    return {latent: frozenset(words) for latent, words in found.items()}


def main() -> None:
    from autointerp.db import queries
    from autointerp.progress import default_progress
    from autointerp.project.context import Context
    from autointerp.project.targets import Target, find_dictionary
    from autointerp.project.workspace import WorkspaceFolder
    from autointerp.search.questions import QuestionVectors
    from autointerp.stages.index.opening import fresh_indexes
    from autointerp.views.search.scope import SearchFilters
    from autointerp.views.search.searcher import Searcher

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--layer", default="mid")
    parser.add_argument("--truths", type=Path, help="file that keeps the truths for the next time")
    parser.add_argument("--misses", action="store_true", help="say what the fused search misses")
    options = parser.parse_args()
    ctx = Context(WorkspaceFolder(options.workspace), default_progress(False))
    row = find_dictionary(ctx, Target(options.layer))
    sets = questions(known_truths(ctx, row, options.truths))
    # Questions are told to no file, so that each is new.
    searcher = Searcher(ctx, fresh_indexes(ctx), QuestionVectors())
    filters = SearchFilters(dictionary=row.name)
    print(f"{row.name}: {', '.join(f'{len(asked)} {what}' for what, asked in sets.items())}")
    print("\n| questions | route | recall@10 | MRR |\n|---|---|---|---|")
    with ctx.db.session() as session:
        latents = {feature.id: feature.latent_index for feature in queries.features.of_dictionary(session, row.id)}
    for what, asked in sets.items():
        ranked = [ranked_by(searcher, one, filters, latents) for one in asked]
        for route in ranked[0]:
            recall, reciprocal = figures(asked, [one[route] for one in ranked])
            print(f"| {what} | {route} | {recall:.1%} | {reciprocal:.3f} |", flush=True)
        for one, found in zip(asked, ranked, strict=True) if options.misses else ():
            part, _ = figures([one], [found["fused"]])
            if part < 1:
                print(f"    {one.text}: {part:.0%} of {len(one.answers)}")


if __name__ == "__main__":
    main()
