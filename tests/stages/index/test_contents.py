"""What each kind of index holds is read from the database, and embeds to unit vectors."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autointerp.db.models import IndexKind
from autointerp.project.context import Context
from autointerp.project.workspace import WorkspaceFolder
from autointerp.stages.index.contents import CONTENTS


@pytest.mark.parametrize(
    ("kind", "ids"),
    [
        ("labels", "SELECT id FROM labels WHERE status = 'ok' ORDER BY id"),
        (
            "crops",
            "SELECT c.id FROM crops c JOIN features f ON f.id = feature_id"
            " WHERE role != 'negative' AND NOT (role = 'quantile' AND quantile IS NULL)"
            " AND state != 'dead' ORDER BY c.id",
        ),
        ("decoder", "SELECT id FROM features WHERE state != 'dead' ORDER BY id"),
    ],
)
def test_rows_are_those_of_the_database(
    labeled: Path, query: Callable[..., list[Any]], kind: IndexKind, ids: str
) -> None:
    ctx = Context(WorkspaceFolder(labeled))
    contents = CONTENTS[kind](ctx, ctx.dictionary_named("shapes-turbo.mid.topk"))
    rows = contents.rows()
    assert sorted(rows.ids.tolist()) == [found for (found,) in query(labeled, ids)]
    assert contents.fingerprint("a") != contents.fingerprint("b")
    some = contents.embed(rows[np.arange(5)])
    assert some.dtype == np.float32
    assert np.linalg.norm(some, axis=1) == pytest.approx(np.ones(5), abs=1e-4)
