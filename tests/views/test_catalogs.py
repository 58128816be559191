"""Catalogs are kept, and read again when the database changed."""

from __future__ import annotations

from pathlib import Path
from threading import Event
from typing import Any

import pytest

from autointerp.db import queries
from autointerp.project.context import Context
from autointerp.project.targets import find_feature
from autointerp.project.workspace import WorkspaceFolder
from autointerp.views import catalogs as module
from autointerp.views.catalogs import Catalogs


@pytest.fixture
def ctx(workspace: Path) -> Context:
    return Context(WorkspaceFolder(workspace))


def test_what_another_process_says_is_seen_soon(
    ctx: Context, workspace: Path, cli: Any, named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalogs = Catalogs(ctx.db)
    first = catalogs.get()
    assert catalogs.get() is first
    assert cli("-w", workspace, "label", "--layer", "mid", "--feature", named, "--name", "from elsewhere").code == 0
    assert catalogs.get() is first
    monkeypatch.setattr(module, "LOOK_AGAIN_SECONDS", -1.0)
    monkeypatch.setattr(module, "_PATIENCE", 0.0)
    # Nobody waits for what is read meanwhile.
    assert catalogs.get() is first
    wait_for(catalogs)
    second = catalogs.get()
    assert "from elsewhere" in second.names
    # Nothing changed, so nothing is read.
    assert catalogs.get() is second
    assert catalogs.renewing is None


def test_a_change_of_ones_own_is_seen_at_once(ctx: Context, named: str) -> None:
    from autointerp.transfer.label_files.by_hand import name_by_hand
    from autointerp.transfer.label_files.storing import HandLabel

    catalogs = Catalogs(ctx.db)
    with ctx.db.session() as session:
        clip = [row.id for row in queries.labelers.with_labels(session)]
    every, some = catalogs.get(), catalogs.get(clip)
    done = name_by_hand(ctx, HandLabel(named, "my own"))
    catalogs.refresh([done.feature_id])
    _, feature = find_feature(ctx, named)
    place = every.place_of(feature.id)
    assert place is not None
    assert catalogs.get() is every
    assert (every.names[place], some.names[place] == "my own") == ("my own", False)


def test_ones_own_change_is_not_lost_while_a_catalog_is_read(
    ctx: Context, named: str, workspace: Path, cli: Any, query: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from autointerp.transfer.label_files.by_hand import name_by_hand
    from autointerp.transfer.label_files.storing import HandLabel

    monkeypatch.setattr(module, "LOOK_AGAIN_SECONDS", -1.0)
    monkeypatch.setattr(module, "_PATIENCE", 0.0)
    catalogs = Catalogs(ctx.db)
    first = catalogs.get()
    others = [name for name in first.names if name]
    assert cli("-w", workspace, "label", "--layer", "mid", "--feature", named, "--name", "from elsewhere").code == 0
    read, begun, goes_on = module.FeatureCatalog.read, Event(), Event()

    def slowly(session: Any, key: Any) -> Any:
        found = read(session, key)
        begun.set()
        assert goes_on.wait(30)
        return found

    monkeypatch.setattr(module.FeatureCatalog, "read", slowly)
    assert catalogs.get() is first
    assert begun.wait(30)
    done = name_by_hand(ctx, HandLabel(named, "my own"))
    catalogs.refresh([done.feature_id])
    goes_on.set()
    wait_for(catalogs)
    assert "my own" in catalogs.get().names
    assert len(others) == len([name for name in catalogs.get().names if name])


def wait_for(catalogs: Catalogs) -> None:
    thread = catalogs.renewing
    if thread is not None:
        thread.join(60)
        assert not thread.is_alive()


def test_few_choices_of_labelers_are_kept(ctx: Context) -> None:
    catalogs = Catalogs(ctx.db)
    first = catalogs.get([1])
    for other in ([2], [3], [4]):
        catalogs.get(other)
    assert catalogs.get([1]) is not first
