"""The status counts features, labels and calls."""

from __future__ import annotations

import pytest

from autointerp.db import models
from autointerp.project.context import Context
from autointerp.views.status import read_status

from .conftest import NAME


def test_every_count_of_a_dictionary(small: Context) -> None:
    status = read_status(small)
    row = status.dictionary(NAME)
    assert (row.features, row.live, row.dead, row.dense) == (4, 2, 1, 1)
    assert (row.labels, row.uninterpretable, row.failed, row.scores) == (2, 0, 0, 3)
    assert (row.images, row.crops, row.fvu, row.figures) == (4, 4, 0.25, {"r2_mean": 0.5})
    found = status.as_dict()
    assert list(found) == ["workspace", "model", "dictionaries", "calls"]
    assert (found["workspace"], found["model"]) == (str(small.workspace.path), "shapes-turbo")
    keys = ("dictionary", "layer", "stream", "kind", "features", "live", "dead", "dense", "labels", "uninterpretable")
    assert list(found["dictionaries"][0]) == [
        *keys,
        "failed",
        "scores",
        "images",
        "crops",
        "fvu",
        "l0",
        "figures",
        "assumed",
    ]


@pytest.mark.parametrize("cost", [0.5, None])
def test_what_the_rest_would_cost(small: Context, cost: float | None) -> None:
    with small.db.session() as session:
        call = {"request_hash": "x", "purpose": "label", "model": "v", "answer": "{}", "input_tokens": 7}
        session.add(models.Call(**call, cost=cost))
        session.add(models.Call(request_hash="y", purpose="label", model="v", error="busy"))
    calls = read_status(small).calls
    assert (calls.calls, calls.answers, calls.input_tokens) == (2, 1, 7)
    # The VLM has named one of two live features.
    assert calls.remaining == 1
    assert (calls.unpriced, calls.expected) == ((0, 0.5) if cost else (1, None))
