"""Stamps are counted again only after a commit."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from autointerp.db import models, queries
from autointerp.project.context import Context
from autointerp.project.workspace import WorkspaceFolder
from autointerp.views.stamps import Stamps


def test_a_commit_of_anyone_is_seen_and_nothing_is_counted_without_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ctx = Context(WorkspaceFolder.create(tmp_path / "w"))
    stamps, counted, count = Stamps(ctx.db), list[int](), queries.catalog.stamp

    def counting(session: Any) -> queries.catalog.Stamp:
        counted.append(1)
        return count(session)

    monkeypatch.setattr(queries.catalog, "stamp", counting)
    first = stamps.now()
    assert (stamps.now(), len(counted)) == (first, 1)
    with ctx.db.session() as session:
        session.add(models.LabelerRow(kind="clip"))
    assert stamps.now() == first
    with ctx.db.session() as session:
        about = {"kind": "topk", "model": "m", "layer": "mid", "hookpoint": "h", "signal": "output", "steps": [0]}
        sizes = {"grid_rows": 2, "grid_cols": 2, "d_in": 2, "num_latents": 1, "k": 1, "weights_sha256": "0" * 64}
        session.add(models.DictionaryRow(id=1, name="d", identity="i", **about, **sizes))
        session.flush()
        session.add(models.Feature(id=1, dictionary_id=1, latent_index=0, state="live"))
    second = stamps.now()
    assert (second.dictionaries, second.features) == (1, 1)
    # Another program's commit counts too.
    with closing(sqlite3.connect(tmp_path / "w" / "autointerp.db")) as db, db:
        db.execute("DELETE FROM features")
    assert stamps.now().features == 0
    assert stamps.named() == stamps.now()[:-2]
