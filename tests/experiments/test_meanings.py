"""Every figure and every way that an experiment reports is said in a line on its page."""

from __future__ import annotations

import pytest

from autointerp.experiments.meanings import MEANINGS, meanings_of
from autointerp.experiments.trials import MEASURES
from autointerp.experiments.ways import WAYS
from autointerp.views.figures import Figure


def test_words_are_told_of_what_a_report_has_alone() -> None:
    figures = [
        Figure("success: color", "late third", "patch", 0.5),
        Figure("success by layer: color", "mid", "random", 0.5),
        Figure("kept", "all kinds", "patch", 0.5),
        Figure("keptsake", "all kinds", "unheard-of", 0.5),
    ]
    assert [word for word, _ in meanings_of("intervene", figures)] == ["success", "kept", "patch", "random"]
    assert meanings_of("scripted", figures) == []


@pytest.mark.parametrize(
    ("kind", "name", "word"),
    [
        ("probe", "color, all inputs", "all inputs"),
        ("probe", "IoU of color, from labels alone", "IoU of"),
        ("emergence", "IoU of object", "IoU of"),
        ("erase", "gone by strength", "gone"),
        ("erase", "kept in its attribute by strength", "kept in its attribute"),
        ("edit", "area under the curve", "area under the curve"),
        ("transfer", "labels that stay true", "labels that stay true"),
        ("models", "features that differ", "features that differ"),
        ("models", "features that differ, each by itself", "features that differ, each by itself"),
        ("models", "percent of cells where it fires: gone", "percent of cells where it fires"),
    ],
)
def test_a_name_may_say_more_than_its_word(kind: str, name: str, word: str) -> None:
    assert meanings_of(kind, [Figure(name, "", "", 1.0)]) == [(word, MEANINGS[kind][word])]


def test_every_way_and_measure_of_edits_has_a_line() -> None:
    assert {*WAYS, *MEASURES, "random", "none", "prompt"} <= set(MEANINGS["edit"])
