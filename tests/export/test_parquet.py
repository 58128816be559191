"""Parquet files: rows of a database that travel, and tables of labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from autointerp.errors import AutointerpError
from autointerp.export.parquet import (
    Column,
    Table,
    check_rows,
    read_label_table,
    read_rows,
    write_label_table,
    write_rows,
)

from .examples import COLUMNS, ROWS, tables


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"image_id": 4}, "refers to rows of images that are not there"),
        ({"image_id": None}, "image_id is missing"),
        ({"id": 1}, "an id of their own"),
    ],
)
def test_rows_that_do_not_fit_together_are_refused(tmp_path: Path, change: dict[str, Any], match: str) -> None:
    images, crops = tables()
    loose = tuple(Column(c.name, c.type, True) for c in crops.columns)
    write_rows(images, tmp_path / "images.parquet")
    write_rows(
        Table("crops", loose, [*crops.rows, {"id": 9, "image_id": 3, "cell": 1, **change}]), tmp_path / "crops.parquet"
    )
    with pytest.raises(AutointerpError, match=match) as caught:
        check_rows(tmp_path, COLUMNS)
    assert "\n" not in str(caught.value)
    (tmp_path / "crops.parquet").write_bytes(b"PAR1")
    with pytest.raises(AutointerpError, match="cannot be read"):
        check_rows(tmp_path, COLUMNS)


def test_rows_and_labels_come_back_as_they_were(tmp_path: Path) -> None:
    for table in tables():
        path = tmp_path / f"{table.name}.parquet"
        assert write_rows(table, path) == len(list(table.rows))
        assert [row for part in read_rows(path, table.columns) for row in part] == list(table.rows)
    assert write_label_table(ROWS, tmp_path / "labels.parquet") == len(ROWS)
    assert read_label_table(tmp_path / "labels.parquet") == ROWS
