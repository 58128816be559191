"""Contact sheets and strips hold the features that have crops."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image

from autointerp.errors import AutointerpError
from autointerp.project.context import Context
from autointerp.views.search.hits import Hit
from autointerp.views.sheets import render_sheet, strips_of, write_hits, write_sheet

from .conftest import NAME, a_dictionary


def hit(latent: int, name: str = "") -> Hit:
    return Hit(f"{NAME}:{latent}", name, "", None, None, feature_id=latent + 1)


def test_a_sheet_grows_with_the_features_on_it(small: Context, tmp_path: Path) -> None:
    row = small.dictionary_named(NAME)
    one, two = (render_sheet(small, row, count=count, columns=1) for count in (1, 2))
    assert one is not None
    assert two is not None
    heights = [Image.open(io.BytesIO(sheet)).height for sheet in (one, two)]
    assert heights[1] > heights[0]
    path = write_sheet(small, row, tmp_path / "new" / "sheet.png", columns=1)
    assert path.read_bytes() == two
    (tmp_path / "file").write_text("")
    with pytest.raises(AutointerpError, match="cannot write"):
        write_sheet(small, row, tmp_path / "file" / "sheet.png")


def test_a_dictionary_without_labels_has_no_sheet(small: Context, tmp_path: Path) -> None:
    with small.db.session() as session:
        session.add(a_dictionary("bare", "late"))
    row = small.dictionary_named("bare")
    assert render_sheet(small, row) is None
    with pytest.raises(AutointerpError, match="bare has no labels yet"):
        write_sheet(small, row, tmp_path / "sheet.png")


def test_strips_hold_the_crops_that_fire(small: Context) -> None:
    strips = strips_of(small, [hit(0, "red circle"), hit(2), hit(1)])
    assert {feature: strip.size for feature, strip in strips.items()} == {1: (2 * 96 + 6, 96), 3: (96, 96)}


def test_hits_are_written_where_temporary_files_go(
    small: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    path = write_hits(small, [hit(0, "red circle"), hit(1)], "Search for 'red'")
    assert path.parent == tmp_path
    with Image.open(path) as sheet:
        assert sheet.format == "PNG"
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "nowhere"))
    with pytest.raises(AutointerpError, match="cannot write a contact sheet"):
        write_hits(small, [hit(0)], "Search")
