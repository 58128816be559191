from __future__ import annotations

from typing import Any

import pytest

from autointerp.errors import UsageError
from autointerp.labeling.labelers.given import GivenLabel, GivenLabeler, RefusedLabel, checked
from autointerp.labeling.protocol import FeatureEvidence

FEATURES = [FeatureEvidence(f"x:{index}", index, 0.1, ()) for index in range(3)]


def test_given_labels_are_said_and_others_have_failed() -> None:
    labels = {"x:0": GivenLabel("", "x:0", "red", "Fires on red."), "x:1": GivenLabel("", "x:1", "blue", "", 0.25)}
    one, two, three = GivenLabeler(labels).label(FEATURES)
    assert (one.status, one.name, one.explanation, one.confidence) == ("ok", "red", "Fires on red.", 1.0)
    assert (two.name, two.confidence) == ("blue", 0.25)
    assert (three.status, three.error) == ("failed", "nobody has named it")
    (tools, *_) = GivenLabeler(labels, "delphi").label(FEATURES)
    assert tools.confidence == 0.0


def test_no_command_names_in_the_place_of_a_person() -> None:
    setup: Any = None
    with pytest.raises(UsageError, match="the labeler human is you"):
        GivenLabeler.make_labeler(setup)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"feature": "x:1"}, "it has no name"),
        ({"name": "red"}, "it has no feature"),
        ({"feature": True, "name": "red"}, "its feature is no text"),
        ({"feature": "x:1", "name": "r" * 500}, "its name is longer than"),
        ({"feature": "x:1", "name": "red", "confidence": True}, "its confidence is True"),
        ({"feature": "x:1", "name": "red", "confidence": 1.5}, "its confidence is 1.5"),
    ],
)
def test_values_without_a_clear_meaning_are_refused(values: dict[str, Any], reason: str) -> None:
    found = checked("line 7", values)
    assert isinstance(found, RefusedLabel)
    assert found.place == "line 7"
    assert reason in found.reason


def test_a_number_names_a_feature() -> None:
    assert checked("", {"feature": 3, "name": "red", "confidence": "0.5"}) == GivenLabel("", "3", "red", "", 0.5)
