"""Crops are written as files, and the place of an atom with them."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from autointerp.errors import AutointerpError
from autointerp.project.context import Context
from autointerp.project.evidence import EvidenceReader
from autointerp.project.targets import find_feature
from autointerp.views.pictures import render, render_atom, write_crops

from .conftest import NAME


def test_a_file_for_each_crop(small: Context, tmp_path: Path) -> None:
    assert write_crops(small, f"{NAME}:0", tmp_path / "out") == 3
    files = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert files == ["0-000-top.png", "0-001-top.png", "0-002-negative.png"]
    with Image.open(tmp_path / "out" / files[0]) as picture:
        assert max(picture.size) == 224
    (tmp_path / "file").write_text("")
    with pytest.raises(AutointerpError, match="cannot write to .*file"):
        write_crops(small, f"{NAME}:0", tmp_path / "file")


def test_the_cells_where_a_feature_fires_are_outlined(small: Context) -> None:
    row, feature = find_feature(small, f"{NAME}:0")
    crop = EvidenceReader(small.db, row).crops([feature.id])[feature.id][0]
    colours = render(crop, 96).getcolors(96 * 96)
    assert colours is not None
    assert len(colours) > 1


def test_only_a_feature_with_an_atom_has_its_place(small: Context) -> None:
    row, feature = find_feature(small, f"{NAME}:0")
    with pytest.raises(ValueError, match="feature 0 has no atom"):
        render_atom(small, row, feature)
