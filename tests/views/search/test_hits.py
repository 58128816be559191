"""What is shown of the features that were found, in their order."""

from __future__ import annotations

from autointerp.project.context import Context
from autointerp.search.ranking import Fused
from autointerp.views.search.hits import read_hits

from ..conftest import NAME


def test_labels_scores_and_best_prompts(small: Context) -> None:
    fused = [Fused(3, 0.5, {"words": 1}), Fused(1, 0.4, {"crops": 2}), Fused(4, 0.3, {"prompts": 1})]
    third, first, fourth = read_hits(small, fused, {1: 0.123456}, None)
    assert (first.feature, first.dictionary, first.name) == (f"{NAME}:0", NAME, "red circle")
    assert (first.score, first.similarity, first.density) == (0.9, 0.1235, 0.1)
    assert (first.prompt, first.ranks, first.feature_id) == ("a red circle 0", {"crops": 2}, 1)
    assert (third.name, third.similarity) == ("blue square", None)
    assert (fourth.name, fourth.explanation, fourth.score, fourth.prompt) == ("", "", None, "")
    keys = ["feature", "name", "explanation", "score", "similarity", "density", "prompt", "ranks"]
    assert list(first.as_dict()) == keys


def test_a_chosen_labelers_names(small: Context) -> None:
    hits = read_hits(small, [Fused(1, 1.0), Fused(3, 0.5)], {}, [2])
    assert [hit.name for hit in hits] == ["red dot", ""]
