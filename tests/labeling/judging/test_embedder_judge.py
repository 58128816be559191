from __future__ import annotations

from autointerp.labeling.evidence.windows import WindowEmbedder
from autointerp.labeling.judging.embedder_judge import EmbedderJudge
from autointerp.labeling.protocol import Trial

from ..conftest import ColorEmbedder, World


def test_the_embedder_measures_words_against_crops(world: World) -> None:
    embedder = ColorEmbedder()
    judge = EmbedderJudge(embedder, WindowEmbedder(embedder, (3.0,)))
    red = world.where(lambda color, corner: color == "red")[:2]
    blue = world.where(lambda color, corner: color == "blue")[:2]
    trials = [Trial("red, top left", "", world.crop(*cell, 1.0), True) for cell in (*red, *blue)]
    values = [v.value or 0 for v in judge.judge(trials)]
    assert min(values[:2]) > max(values[2:]) + 0.3
    assert judge.judge([]) == []
