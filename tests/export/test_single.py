"""Exports that are one file."""

from __future__ import annotations

from pathlib import Path

import pytest

from autointerp.errors import UsageError
from autointerp.export.parquet import read_label_table, write_label_table
from autointerp.export.rows import read_lines, write_lines
from autointerp.export.single import write_file

from .examples import ROWS


def test_labels_alone(tmp_path: Path) -> None:
    path = write_file(tmp_path / "a" / "b" / "labels.jsonl", lambda path: write_lines(ROWS, path))
    assert list(read_lines(path)) == ROWS
    assert [p.name for p in path.parent.iterdir()] == ["labels.jsonl"]
    assert "über" in path.read_text(encoding="utf-8")
    write_file(path, lambda path: write_lines(ROWS[:1], path))
    assert list(read_lines(path)) == ROWS[:1]
    with pytest.raises(UsageError, match="is a file"):
        write_file(path / "labels.jsonl", lambda path: write_lines(ROWS, path))
    table = write_file(path.parent / "labels.parquet", lambda path: write_label_table(ROWS, path))
    assert read_label_table(table) == ROWS
