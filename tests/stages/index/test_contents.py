"""What each kind of index holds is read from the database, and embeds to unit vectors."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autointerp.db import models
from autointerp.db.models import IndexKind
from autointerp.project.context import Context, identity
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


def test_the_fingerprint_of_labels_is_the_identity_of_what_is_said_now(
    workspace: Path, query: Callable[..., list[Any]]
) -> None:
    """Indexes of earlier versions have it, so it stays."""
    ctx = Context(WorkspaceFolder(workspace))
    row = ctx.dictionary_named("shapes-turbo.mid.topk")
    said = query(workspace, "SELECT id, feature_id, name, confidence FROM labels WHERE status = 'ok' ORDER BY id")
    assert CONTENTS["labels"](ctx, row).fingerprint("é") == identity(
        {"labels": [list(one) for one in said], "embedder": "é"}
    )
    # A later result of the same labeler takes its place, and a failure does not.
    (first, second), labels = said[:2], [list(one) for one in said[1:]]
    newest = models.Label(
        feature_id=first[1], labeler_id=1, status="uninterpretable", name="", explanation="", confidence=0.0
    )
    failed = models.Label(feature_id=second[1], labeler_id=1, status="failed", name="", explanation="", confidence=0.0)
    with ctx.db.session() as session:
        labeler = session.get_one(models.Label, first[0]).labeler_id
        newest.labeler_id = failed.labeler_id = labeler
        session.add_all([newest, failed])
    assert CONTENTS["labels"](ctx, row).fingerprint("e") == identity({"labels": labels, "embedder": "e"})
    assert len(CONTENTS["labels"](ctx, row).rows()) == len(labels)
