"""Listed features, and crops as the pages' script takes them."""

from __future__ import annotations

from pathlib import Path

from autointerp.db import queries
from autointerp.project.context import Context
from autointerp.project.workspace import WorkspaceFolder
from autointerp.views.catalog import CatalogFilters, FeatureCatalog
from autointerp.views.feature import read_feature
from autointerp.views.listed import drawn_crop, read_listed


def test_a_list_says_what_show_says(labeled: Path) -> None:
    ctx = Context(WorkspaceFolder(labeled))
    with ctx.db.session() as session:
        catalog = FeatureCatalog.read(session)
    listed = read_listed(ctx, catalog, catalog.page(CatalogFilters(status="ok"), "score", 4).places, crops=2)
    assert len(listed) == 4
    for one in listed:
        view = read_feature(ctx, one.feature)
        assert view.label is not None
        assert (one.name, one.explanation, one.status) == (view.label.name, view.label.explanation, "ok")
        assert one.labeler.startswith(view.label.labeler)
        assert one.state == view.state
        assert len(one.crops) == 2
        assert one.crops[0].activation >= one.crops[1].activation
        assert set(one.pictures) == {crop.image_id for crop in one.crops}
        assert one.as_dict()["crops"][0][7] == one.crops[0].id


def test_a_crop_has_its_map_only_where_it_is_given(labeled: Path) -> None:
    ctx = Context(WorkspaceFolder(labeled))
    with ctx.db.session() as session:
        ids = [line.id for line in queries.catalog.feature_lines(session) if line.state == "live"]
        lines = queries.catalog.crop_lines(session, ids[0])
    top = next(one for one in lines if one.crop.role == "top")
    silent = next(one for one in lines if one.crop.role == "negative")
    cell = top.crop.cell
    assert cell is not None
    picture, box, role, activation, step, where, heat, crop_id = drawn_crop(top.crop, top.packed_map)
    assert (picture, box, role, crop_id) == (top.crop.image_id, list(top.crop.box), "top", top.crop.id)
    assert max(heat[3]) == 255
    assert heat[2][heat[3].index(255)] == cell[0] * heat[1] + cell[1]
    assert drawn_crop(top.crop)[6] is None
    assert drawn_crop(silent.crop, silent.packed_map)[4:7] == [None, "", None]
    # A text token has no place in the picture.
    assert drawn_crop(top.crop, top.packed_map, "text")[5:7] == [f"token {cell[1]}", None]
