"""A comparison of models as it is stored is read back whole, with the names that features have now."""

from __future__ import annotations

from pathlib import Path

import pytest

from autointerp.project.context import Context
from autointerp.project.workspace import WorkspaceFolder
from autointerp.views.compared_models import list_model_comparisons, read_model_comparison
from tests.views.models_compared import NAME, store_comparison


@pytest.fixture
def ctx(workspace: Path) -> Context:
    return Context(WorkspaceFolder(workspace))


def test_what_is_stored_is_read(ctx: Context, named: str) -> None:
    assert list_model_comparisons(ctx) == []
    store_comparison(ctx, int(named.rpartition(":")[2]))
    (stored,) = list_model_comparisons(ctx)
    found = read_model_comparison(ctx, stored)
    assert (found.dictionary, found.models, found.images) == (NAME, ("shapes-turbo", "shapes"), 40)
    assert found.counts == {"more": 1, "less": 0, "new": 0, "gone": 1}
    assert found.alone == {"more": 5, "less": 3}
    assert found.by_chance == {"more": (1.5, 0.0, 4.0), "less": (1.25, 0.0, 3.0)}
    assert (found.fvu, found.l0) == ((0.2, 0.4), (2.0, 2.5))
    more, gone = found.changed
    assert (more.feature, more.change, more.density) == (named, "more", (0.02, 0.05))
    assert more.name
    assert (more.difference, more.low, more.high, more.chance) == pytest.approx((0.03, 0.02, 0.04, 0.001))
    assert (gone.feature, gone.change, gone.name) == (f"{NAME}:99", "gone", None)
    assert list(found.as_dict()) == [
        "dictionary", "models", "images", "counts", "alone", "by_chance", "fvu", "l0", "changed",
    ]  # fmt: skip


def test_names_go_with_the_dictionary(ctx: Context, named: str) -> None:
    store_comparison(ctx, int(named.rpartition(":")[2]), dictionary="gone")
    found = read_model_comparison(ctx, list_model_comparisons(ctx)[0])
    assert {one.name for one in found.changed} == {None}


def test_an_experiment_without_figures_is_not_listed(ctx: Context, named: str) -> None:
    store_comparison(ctx, int(named.rpartition(":")[2]), finished=False)
    assert list_model_comparisons(ctx) == []
