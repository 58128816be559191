"""Labels alone, as a table: in a folder, or in the file that is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from autointerp.export.parquet import read_label_table
from autointerp.export.rows import read_lines

from ..bundles import Cli


def test_a_table_of_labels(labeled: Path, cli: Cli, tmp_path: Path) -> None:
    for form in ("parquet", "jsonl"):
        done = cli("-w", labeled, "-q", "export", "--layer", "mid", "-o", tmp_path, "--format", form)
        assert done.out == f"{tmp_path / f'labels.{form}'}\n"
    assert read_label_table(tmp_path / "labels.parquet") == list(read_lines(tmp_path / "labels.jsonl"))


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_a_table_of_labels_goes_into_the_file_that_is_named(labeled: Path, cli: Cli, tmp_path: Path, form: str) -> None:
    given = ("-w", labeled, "-q", "export", "--layer", "mid", "--format", form, "-o")
    file = tmp_path / "new" / f"red.{form}"
    assert cli(*given, file).out == f"{file}\n"
    assert [path.name for path in file.parent.iterdir()] == [file.name]
    assert cli(*given, tmp_path).code == 0
    assert (tmp_path / f"labels.{form}").read_bytes() == file.read_bytes()
    # A folder stays a folder, whatever its name.
    (tmp_path / f"folder.{form}").mkdir()
    assert cli(*given, tmp_path / f"folder.{form}").out == f"{tmp_path / f'folder.{form}' / f'labels.{form}'}\n"
