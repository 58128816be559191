"""An index is written once, updated where it is stale, built again where it is damaged, and recorded."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autointerp.db import DatabaseError
from autointerp.errors import AutointerpError
from autointerp.project.context import Context
from autointerp.project.workspace import WorkspaceFolder
from autointerp.stages.index.opening import fresh_indexes, index_path, open_index, remove_indexes


def test_a_missing_index_is_built_and_recorded_and_then_read(workspace: Path, query: Callable[..., list[Any]]) -> None:
    ctx = Context(WorkspaceFolder(workspace))
    row = ctx.dictionary_named("shapes-turbo.mid.topk")
    remove_indexes(ctx, row.name)
    built = open_index(ctx, row, "decoder")
    path = index_path(ctx, row, "decoder")
    written = path.read_bytes()
    assert query(workspace, "SELECT name, count, path FROM indexes WHERE kind = 'decoder'") == [
        ("shapes-turbo.mid.topk.decoder", len(built), "indexes/shapes-turbo.mid.topk.decoder.faiss")
    ]
    again = open_index(ctx, row, "decoder")
    ids = [f for (f,) in query(workspace, "SELECT id FROM features WHERE state != 'dead' ORDER BY id")]
    assert np.array_equal(again.vectors(ids), built.vectors(ids))
    path.write_bytes(written[:100])
    assert len(open_index(ctx, row, "decoder")) == len(built)
    assert path.read_bytes() == written
    remove_indexes(ctx, row.name)
    assert not list((workspace / "indexes").glob("shapes-turbo.mid.topk.*"))


def test_a_reader_keeps_what_it_cannot_write_in_memory(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ctx = Context(WorkspaceFolder(workspace))
    row = ctx.dictionary_named("shapes-turbo.mid.topk")
    remove_indexes(ctx, row.name)
    raised: list[Exception] = [AutointerpError("another process writes")]

    @contextmanager
    def locked() -> Iterator[None]:
        raise raised[0]
        yield

    monkeypatch.setattr(ctx.workspace, "lock", locked)
    assert len(fresh_indexes(ctx)(row, "decoder")) > 0
    assert not index_path(ctx, row, "decoder").exists()
    with pytest.raises(AutointerpError, match="another process"):
        open_index(ctx, row, "decoder")
    raised[0] = DatabaseError("the database is gone")
    with pytest.raises(DatabaseError):
        fresh_indexes(ctx)(row, "decoder")
