"""A feature for people's own code: what `show` says, and crops with pixels."""

from __future__ import annotations

import pytest

from autointerp.errors import UsageError
from autointerp.project.context import Context
from autointerp.views.stored_feature import StoredFeature

from .conftest import NAME


def test_it_says_what_show_says(small: Context) -> None:
    feature = StoredFeature(small, f"{NAME}:0")
    assert (feature.index, feature.state, feature.density) == (0, "live", 0.1)
    assert (feature.max_activation, feature.mean_activation) == (4.0, 2.0)
    assert feature.neighbours == {f"{NAME}:2": 0.4}
    assert repr(feature) == f"<{NAME}:0: red circle>"
    assert feature.as_dict()["labels"][1]["name"] == "red dot"
    assert repr(StoredFeature(small, f"{NAME}:1")) == f"<{NAME}:1: no label>"
    with pytest.raises(UsageError, match="there is no dictionary"):
        StoredFeature(small, "elsewhere:0")


def test_crops_by_role_and_split(small: Context) -> None:
    feature = StoredFeature(small, f"{NAME}:0")
    assert [(c.role, c.split, c.step) for c in feature.crops()] == [
        ("top", "explain", 1),
        ("top", "score", 1),
        ("negative", "explain", None),
    ]
    (held_out,) = feature.crops(role="top", split="score")
    assert (held_out.prompt, held_out.activation, held_out.cell) == ("a red circle 1", 3.0, (1, 2))
    assert feature.crops(hard=True) == []


def test_a_crop_is_cut_marked_and_lit(small: Context) -> None:
    first, _, negative = StoredFeature(small, f"{NAME}:0").crops()
    assert first.picture.size == (32, 32)
    assert first.image(side=48).size == (48, 48)
    assert first.image(side=48).tobytes() != first.image(side=48, mark=False).tobytes()
    assert first.heat(side=64).tobytes() != negative.heat(side=64).tobytes()
    assert negative.activation_map is None
