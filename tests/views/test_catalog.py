"""The catalog against the queries that it stands for: the label that counts, filters, orders, pages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autointerp.db import queries
from autointerp.db.queries.scores import ScoreFloor
from autointerp.errors import UsageError
from autointerp.project.context import Context
from autointerp.project.workspace import WorkspaceFolder
from autointerp.views.catalog import SORTS, STATES, CatalogFilters, FeatureCatalog, doubt_of


@pytest.fixture
def ctx(workspace: Path) -> Context:
    return Context(WorkspaceFolder(workspace))


@pytest.fixture
def catalog(ctx: Context) -> FeatureCatalog:
    with ctx.db.session() as session:
        return FeatureCatalog.read(session)


def test_it_knows_what_the_queries_say(ctx: Context, catalog: FeatureCatalog) -> None:
    with ctx.db.session() as session:
        (row,) = queries.dictionaries.list_all(session)
        best = queries.labels.best(session, row.id, statuses=("ok", "uninterpretable", "failed"))
        scores = queries.scores.of_labels(session, [one.label.id for one in best.values()])
        features = {one.id: one for one in queries.features.of_dictionary(session, row.id)}
    assert len(catalog) == len(features) == 64
    for place, feature_id in enumerate(catalog.ids.tolist()):
        stored, label = features[feature_id], best.get(feature_id)
        assert STATES[catalog.states[place]] == stored.state
        assert catalog.latents[place] == stored.latent_index
        assert catalog.label_ids[place] == (label.label.id if label else 0)
        assert catalog.names[place] == (label.label.name if label and label.label.status == "ok" else "")
        value, method = catalog.headline(place)
        expected = queries.scores.headline(scores.get(label.label.id, [])) if label else None
        assert value == (None if expected is None else pytest.approx(expected, abs=1e-3))
        assert bool(method) == (expected is not None)


@pytest.mark.parametrize("sort", SORTS)
def test_pages_follow_each_other_without_a_gap(catalog: FeatureCatalog, sort: str) -> None:
    filters, seen, after = CatalogFilters(state="live"), [], None
    while True:
        page = catalog.page(filters, sort, 7, after)
        seen += page.places
        if not page.has_more:
            break
        after = int(catalog.ids[page.places[-1]])
    whole = catalog.page(filters, sort, 1000)
    assert seen == whole.places
    assert len(set(seen)) == len(seen) == whole.total
    # What led to a page may pass the filters no more.
    gone = next((int(catalog.ids[p]) for p in range(len(catalog)) if p not in seen), None)
    if gone is not None:
        assert set(catalog.page(filters, sort, 5, gone).places) <= set(seen)
    middle = seen[3]
    assert catalog.around(filters, sort, int(catalog.ids[middle])) == (seen[2], seen[4])
    assert catalog.around(filters, sort, int(catalog.ids[seen[0]]))[0] is None


def test_orders(catalog: FeatureCatalog) -> None:
    def column(sort: str, values: Any) -> list[float]:
        return [float(values[place]) for place in catalog.page(CatalogFilters(status="ok"), sort, 100).places]

    assert column("frequent", catalog.densities) == sorted(column("frequent", catalog.densities), reverse=True)
    assert column("rare", catalog.densities) == sorted(column("rare", catalog.densities))
    assert column("strong", catalog.peaks) == sorted(column("strong", catalog.peaks), reverse=True)
    doubts = [round(value, 2) for value in column("doubt", catalog.doubts)]
    assert doubts == sorted(doubts, reverse=True)
    names = [catalog.names[p].lower() for p in catalog.page(CatalogFilters(status="ok"), "name", 100).places]
    assert names == sorted(names)
    with pytest.raises(UsageError, match="did you mean 'score'"):
        catalog.page(CatalogFilters(), "scor", 1)


def test_filters(catalog: FeatureCatalog) -> None:
    def passing(**given: Any) -> np.ndarray:
        return catalog.passing(CatalogFilters(**given))

    assert passing().all()
    assert not passing(dictionaries=[999]).any()
    assert (
        passing(status="ok").sum() + passing(status="unlabeled").sum() + passing(status="uninterpretable").sum() == 64
    )
    low, high = 0.005, 0.05
    dense = passing(density=(low, high))
    assert ((catalog.densities[dense] >= low) & (catalog.densities[dense] <= high)).all()
    scored = catalog.scores[2][~np.isnan(catalog.scores[2])]
    middle = float(np.sort(scored)[len(scored) // 2])
    at_least = passing(min_score=ScoreFloor(middle, "embedding"))
    assert at_least.sum() == (scored >= np.float32(middle)).sum() > 0
    assert not passing(min_score=ScoreFloor(0.1, "gain")).any()
    assert (passing(min_score=ScoreFloor(0.0)) == passing(status="ok")).all()
    assert (catalog.doubts[passing(min_doubt=0.5)] >= 0.5).all()
    for wrong in ({"state": "alive"}, {"status": "good"}, {"min_score": ScoreFloor(0.5, "fuzzing")}):
        with pytest.raises(UsageError):
            CatalogFilters(**wrong)  # type: ignore[arg-type]


def test_a_few_features_are_read_again(
    ctx: Context, catalog: FeatureCatalog, named: str, cli: Any, workspace: Path
) -> None:
    from autointerp.project.targets import find_feature

    _, feature = find_feature(ctx, named)
    place = catalog.place_of(feature.id)
    assert place is not None
    before = catalog.names[place]
    assert cli("-w", workspace, "label", "--layer", "mid", "--feature", named, "--name", "my own name").code == 0
    assert catalog.names[place] == before
    with ctx.db.session() as session:
        catalog.refresh(session, [feature.id])
    assert (catalog.names[place], catalog.doubts[place]) == ("my own name", 0.0)
    with ctx.db.session() as session:
        only = FeatureCatalog.read(
            session, [row.id for row in queries.labelers.with_labels(session) if row.kind == "clip"]
        )
    assert only.names[place] == before


def test_doubt_is_the_way_from_chance_that_the_lower_end_does_not_reach() -> None:
    assert doubt_of(True, {}) == 0
    assert doubt_of(False, {}) == 1
    assert doubt_of(False, {"detection": (0.95, 0.75)}) == pytest.approx(0.5)
    assert doubt_of(False, {"detection": (0.9, None), "embedding": (0.5, 0.4)}) == pytest.approx(0.2)
    assert doubt_of(False, {"gain": (0.6, 0.25), "detection": (1.0, 1.0)}) == pytest.approx(0.75)
    assert doubt_of(False, {"embedding": (0.3, 0.1)}) == 1


def test_namesakes(catalog: FeatureCatalog) -> None:
    by_name: dict[str, list[int]] = {}
    for place, name in enumerate(catalog.names):
        if name:
            by_name.setdefault(name, []).append(place)
    several = next(places for places in by_name.values() if len(places) > 1)
    assert catalog.namesakes(several[0]) == several[1:13]
    alone = next((places[0] for places in by_name.values() if len(places) == 1), None)
    assert alone is None or catalog.namesakes(alone) == []


def test_an_empty_workspace_has_an_empty_catalog(made: Path) -> None:
    with Context(WorkspaceFolder(made)).db.session() as session:
        catalog = FeatureCatalog.read(session)
    assert catalog.page(CatalogFilters(), "score", 5) == ([], 0, False)
