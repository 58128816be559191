"""`rm`: a dictionary goes with all under it."""

from __future__ import annotations

import pytest
from sqlalchemy import func, select

from autointerp.db.models import Base
from autointerp.errors import UsageError
from autointerp.project.context import Context
from autointerp.upkeep.remove import remove_dictionary

from .damage import NAME


def test_rows_weights_and_indexes_go_and_the_workspace_stays(ctx: Context) -> None:
    path = ctx.workspace.path
    assert list((path / "indexes").glob(f"{NAME}.*"))
    remove_dictionary(ctx, NAME)
    with ctx.db.session() as session:
        left = {
            name: count
            for name, table in Base.metadata.tables.items()
            if (count := session.scalar(select(func.count()).select_from(table)))
        }
    # Who labeled and judged is still known, and so are the runs that belong to no dictionary.
    assert not set(left) & {"dictionaries", "features", "crops", "images", "labels", "scores", "judgements", "indexes"}
    assert not list((path / "indexes").glob(f"{NAME}.*"))
    assert not (path / "dictionaries" / NAME).exists()
    assert (path / "autointerp.toml").exists()


def test_a_name_that_no_dictionary_has_is_refused(ctx: Context) -> None:
    with pytest.raises(UsageError, match="there is no dictionary 'shapes-turbo.mid.topq': did you mean"):
        remove_dictionary(ctx, "shapes-turbo.mid.topq")
    assert ctx.dictionary_named(NAME)
