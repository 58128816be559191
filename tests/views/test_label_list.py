"""The labels of a dictionary, a feature a line."""

from __future__ import annotations

from dataclasses import fields

import pytest

from autointerp.db import models
from autointerp.errors import UsageError
from autointerp.project.context import Context
from autointerp.views.label_list import ListedLabel, list_labels

from .conftest import NAME


def test_labels_that_count_and_those_of_a_labeler(small: Context) -> None:
    row = small.dictionary_named(NAME)
    first, third = list_labels(small, row)
    assert [one.feature for one in (first, third)] == [f"{NAME}:0", f"{NAME}:2"]
    assert {first.labeler, third.labeler} == {"clip@c"}
    assert first.method == "embedding"
    assert (first.told_apart_from, first.same_as, first.difference) == ((), (), "")
    assert list(first.as_dict()) == [field.name for field in fields(ListedLabel)]
    (only,) = list_labels(small, row, "vlm")
    assert (only.feature, only.labeler) == (f"{NAME}:0", "vlm@v")
    with pytest.raises(UsageError, match="nobody"):
        list_labels(small, row, "nobody")


def test_what_tells_a_feature_apart(small: Context) -> None:
    row = small.dictionary_named(NAME)
    with small.db.session() as session:
        for label in session.query(models.Label):
            label.told_apart_from, label.same_as, label.difference, label.name_before = [2], [1], "striped", "red"
    first = list_labels(small, row)[0]
    assert first.told_apart_from == (f"{NAME}:2",)
    assert first.same_as == (f"{NAME}:1",)
    assert (first.difference, first.name_before) == ("striped", "red")
