"""A plan's lines tell what a command would generate and ask for."""

from __future__ import annotations

import pytest

from autointerp.project.plan import Plan, Step


@pytest.mark.parametrize(
    ("step", "text"),
    [
        (Step("fit", "x", False, "topk", images=3), "fit      x: up to date"),
        (Step("score", "x", False, part="gain score"), "score    x: gain score up to date"),
        (Step("fit", "x", True), "fit      x: would run"),
        (Step("harvest", "x", True, "top 4", images=3), "harvest  x: top 4, 3 images"),
        (
            Step("label", "x", True, calls=2, pictures=8, tokens=900, cost=0.125),
            "label    x: 2 calls, 8 pictures, about 900 tokens, $0.12",
        ),
        (
            Step("label", "x", True, calls=2, pictures=8, tokens=900, cost=None),
            "label    x: 2 calls, 8 pictures, about 900 tokens, price unknown",
        ),
    ],
)
def test_a_step_is_one_line(step: Step, text: str) -> None:
    assert step.text == text


def test_a_plan_has_nothing_to_do_when_no_step_is_needed() -> None:
    done, needed = Step("fit", "x", False), Step("harvest", "x", True)
    assert Plan((done, done)).nothing_to_do
    assert not Plan((done, needed)).nothing_to_do
    assert Plan((done, needed)).text.splitlines() == [done.text, needed.text]
