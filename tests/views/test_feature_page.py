"""A feature as its page shows it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from autointerp.db import queries
from autointerp.project.context import Context
from autointerp.project.workspace import WorkspaceFolder
from autointerp.views.catalog import FeatureCatalog
from autointerp.views.feature import read_feature
from autointerp.views.feature_page import CROPS, read_feature_page


def page_of(path: Path, name: str, **more: Any) -> Any:
    ctx = Context(WorkspaceFolder(path))
    with ctx.db.session() as session:
        return read_feature_page(ctx, FeatureCatalog.read(session), name, **more)


def test_it_is_what_show_says_with_scores_that_open(workspace: Path, named: str, cli: Any) -> None:
    assert cli("-w", workspace, "label", "--layer", "mid", "--feature", named, "--name", "my own").code == 0
    view, page = read_feature(Context(WorkspaceFolder(workspace)), named), page_of(workspace, named)
    assert [label.name for label in page.labels][0] == "my own"
    assert page.label == page.labels[0]
    assert page.label.is_human
    assert {label.name for label in page.labels} == {answer.label.name for answer in view.answers}
    by_labeler = {answer.label.labeler: answer for answer in view.answers}
    for label in page.labels:
        assert [(s.method, s.value) for s in label.scores] == [
            (s.method, s.value) for s in by_labeler[label.labeler].scores
        ]
        assert all(score.trials > 0 for score in label.scores)
    assert [one.feature for one in page.fires_with] == [one.feature for one in view.neighbours]
    assert page.histogram == list(view.histogram)
    assert page.drawn["steps"] == [[step, share] for step, share in view.steps.items()]


def test_few_crops_are_shown_strongest_first_and_all_on_demand(labeled: Path, named: str) -> None:
    few, every = page_of(labeled, named), page_of(labeled, named, all_crops=True)
    assert every.hidden_crops == 0
    assert len(few.crops) + few.hidden_crops == len(every.crops)
    assert not any(crop[2] == "negative" and crop[3] for crop in every.crops)
    for role, most in CROPS.items():
        own = [crop[3] for crop in few.crops if crop[2] == role]
        assert len(own) <= most
        assert own == sorted(own, reverse=True)
    assert set(few.pictures) == {crop[0] for crop in few.crops}


def test_namesakes_have_what_tells_them_apart(workspace: Path, query: Any) -> None:
    import sqlite3

    ctx = Context(WorkspaceFolder(workspace))
    with sqlite3.connect(workspace / "autointerp.db") as db:
        db.execute("UPDATE labels SET name = 'same', difference = 'only ' || id WHERE status = 'ok'")
    db.close()
    with ctx.db.session() as session:
        catalog = FeatureCatalog.read(session)
        labels = queries.labels.by_ids(session, [int(i) for i in catalog.label_ids if i])
    place = catalog.names.index("same")
    name = f"shapes-turbo.mid.topk:{int(catalog.latents[place])}"
    found = read_feature_page(ctx, catalog, name).namesakes
    assert found
    for one in found:
        latent = int(one.feature.rpartition(":")[2])
        other = catalog.latents.tolist().index(latent)
        assert one.difference == labels[int(catalog.label_ids[other])].difference
        assert one.feature != name
