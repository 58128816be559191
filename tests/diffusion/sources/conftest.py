"""A data set in a folder."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two splits: five captions and an empty one, and three others."""
    datasets = pytest.importorskip("datasets")
    path = tmp_path_factory.mktemp("set")
    rows = [f"caption {n}" for n in range(5)]
    datasets.Dataset.from_dict({"id": [*range(6)], "caption": [*rows[:2], " ", *rows[2:]]}).to_parquet(
        path / "train-00000.parquet"
    )
    datasets.Dataset.from_dict({"id": [1, 2, 3], "caption": ["x", "y", "z"]}).to_parquet(path / "test-00000.parquet")
    return path
