"""Hits: the features that a search found, with what is shown of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from autointerp.db import queries
from autointerp.project.context import Context
from autointerp.search.ranking import Fused


@dataclass(frozen=True)
class Hit:
    """One feature that a search found.

    Attributes:
        feature: `DICTIONARY:INDEX`.
        name: Name of its label; empty where it has none.
        explanation: Explanation of its label.
        score: The one figure that stands for the label.
        similarity: Cosine of the question with the label, or with the crops where the label was not compared. None
            where the feature was found by words alone.
        density: Share of cells in which it is active.
        prompt: Prompt of the image in which it fires most.
        ranks: Route -> place of the feature among those that the route found, from 1.
        feature_id: Id of the feature.
    """

    feature: str
    name: str
    explanation: str
    score: float | None
    similarity: float | None
    density: float = 0.0
    prompt: str = ""
    ranks: dict[str, int] = field(default_factory=dict)
    feature_id: int = 0

    @property
    def dictionary(self) -> str:
        """Name of the feature's dictionary."""
        return self.feature.rpartition(":")[0]

    def as_dict(self) -> dict[str, Any]:
        """Return the stable keys of an entry of `search --json`."""
        return {
            "feature": self.feature,
            "name": self.name,
            "explanation": self.explanation,
            "score": self.score,
            "similarity": self.similarity,
            "density": self.density,
            "prompt": self.prompt,
            "ranks": self.ranks,
        }


def read_hits(
    ctx: Context, fused: Sequence[Fused], similarity: Mapping[int, float], labelers: Sequence[int] | None
) -> list[Hit]:
    """Read what is shown of features that were found, in their order.

    Args:
        ctx: The workspace.
        fused: Ids of features with their ranks, best first.
        similarity: Feature id -> cosine, of the features that were found by vectors.
        labelers: Ids of the labelers whose labels are shown; None shows the labels that count.
    """
    ids = [one.id for one in fused]
    labels: dict[int, queries.labels.BestLabel] = {}
    hits = []
    with ctx.db.session() as session:
        rows = queries.features.with_dictionaries(session, ids)
        prompts = queries.crops.best_prompts(session, ids)
        for dictionary_id in {row.dictionary.id for row in rows.values()}:
            labels |= queries.labels.best(session, dictionary_id, labelers, feature_ids=ids)
        scores = queries.scores.of_labels(session, [best.label.id for best in labels.values()])
        for one in fused:
            feature, dictionary = rows[one.id]
            best = labels.get(one.id)
            hits.append(
                Hit(
                    feature=f"{dictionary.name}:{feature.latent_index}",
                    name=best.label.name if best else "",
                    explanation=best.label.explanation if best else "",
                    score=queries.scores.headline(scores.get(best.label.id, [])) if best else None,
                    similarity=round(similarity[one.id], 4) if one.id in similarity else None,
                    density=feature.density,
                    prompt=prompts.get(one.id, ""),
                    ranks=one.ranks,
                    feature_id=one.id,
                )
            )
    return hits
