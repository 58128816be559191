"""The layers along the model."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from autointerp.project.context import Context
from autointerp.project.workspace import WorkspaceFolder
from autointerp.views.model_layers import layer_spots


def test_layers_stand_in_the_models_order_and_others_behind_them(workspace: Path) -> None:
    ctx = Context(WorkspaceFolder(workspace))
    spots = layer_spots(ctx)
    assert [spot.alias for spot in spots] == ["early", "mid", "late"]
    assert [spot.dictionaries for spot in spots] == [(), ("shapes-turbo.mid.topk",), ()]
    with closing(sqlite3.connect(workspace / "autointerp.db")) as db, db:
        db.execute("UPDATE dictionaries SET layer = 'blocks.9'")
    spots = layer_spots(ctx)
    assert [(spot.alias, len(spot.dictionaries)) for spot in spots] == [
        ("early", 0),
        ("mid", 0),
        ("late", 0),
        ("blocks.9", 1),
    ]
