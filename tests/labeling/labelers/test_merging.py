from __future__ import annotations

from typing import Any

from autointerp.labeling.labelers.merging import merged
from autointerp.labeling.protocol import LabelResult


def test_clusters_named_alike_are_one_meaning_and_a_failed_one_fails() -> None:
    def named(name: str, status: Any = "ok") -> LabelResult:
        return LabelResult(3, status, name, f"Fires on {name}.", 0.5)

    one = merged([named("Red"), named("red")], [5, 5])
    assert (one.name, one.explanation) == ("Red", "Fires on Red.")
    assert merged([named("", "uninterpretable"), named("red")], [5, 5]).name == "red"
    assert merged([named("", "uninterpretable")] * 2, [5, 5]).status == "uninterpretable"
    assert merged([named("red"), LabelResult(3, "failed", error="x")], [5, 5]).status == "failed"
    several = merged([named("red"), named("blue"), named("red")], [2, 4, 2])
    assert several.name == "blue; red"
    assert "red (50% of the crops)" in several.explanation
