"""Several workers, each with the device, give the rows of one process."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.pretend_gpu.sides import PRETEND, TABLES, Sides, alike, settings_of


def test_two_workers_give_the_rows_of_one_process(
    tmp_path: Path, small_parts: None, cli: Any, query: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ray")
    from autointerp.stages.harvest import batches

    root = Path(__file__).parents[2]
    children = os.pathsep.join([str(Path(__file__).with_name("children")), str(root)])
    monkeypatch.setenv("PYTHONPATH", children, prepend=os.pathsep)
    monkeypatch.setattr(batches, "SHARD_IMAGES", 8)
    sides = Sides(tmp_path, cli, query).make(settings_of())
    one = sides.paths[PRETEND]
    assert cli("-w", one, "fit", "--layer", "mid").code == 0
    two = Path(shutil.copytree(one, tmp_path / "two"))
    assert cli("-w", one, "harvest", "--layer", "mid").code == 0
    done = cli("-w", two, "harvest", "--layer", "mid", "--workers", "2")
    assert done.code == 0, done.err
    for table in ("features", "crops"):
        alike(query(one, TABLES[table]), query(two, TABLES[table]), table)
    assert len(query(two, TABLES["crops"])) > 100
