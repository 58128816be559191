"""Labels that a person gives one at a time, and takes back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from autointerp.errors import AutointerpError, UsageError
from autointerp.project.context import Context
from autointerp.project.workspace import WorkspaceFolder
from autointerp.transfer.label_files.by_hand import accept_by_hand, name_by_hand, reject_by_hand, take_back
from autointerp.transfer.label_files.storing import HandLabel
from autointerp.views.feature import read_feature


@pytest.fixture
def ctx(workspace: Path) -> Context:
    return Context(WorkspaceFolder(workspace))


@pytest.fixture
def named(workspace: Path, query: Any) -> str:
    found = query(
        workspace,
        "SELECT d.name || ':' || f.latent_index FROM dictionaries d JOIN features f ON f.dictionary_id = d.id "
        "JOIN labels l ON l.feature_id = f.id WHERE l.status = 'ok' ORDER BY f.latent_index LIMIT 1",
    )
    return str(found[0][0])


def counting(ctx: Context, name: str) -> tuple[str, str, str]:
    label = read_feature(ctx, name).label
    assert label is not None
    return label.labeler, label.status, label.name


def test_name_accept_reject_and_back(ctx: Context, named: str, rows: Any, workspace: Path) -> None:
    before, stored = counting(ctx, named), rows(workspace)["labels"]
    first = name_by_hand(ctx, HandLabel(named, "  my   own  "))
    assert first.is_new
    assert counting(ctx, named) == ("human", "ok", "my own")
    assert not name_by_hand(ctx, HandLabel(named, "my own")).is_new
    second = reject_by_hand(ctx, named)
    assert counting(ctx, named)[:2] == ("human", "uninterpretable")
    with pytest.raises(UsageError, match="no name to accept"):
        accept_by_hand(ctx, named)
    with pytest.raises(UsageError, match="again since"):
        take_back(ctx, first.label_id)
    assert take_back(ctx, second.label_id) == first.feature_id
    assert counting(ctx, named) == ("human", "ok", "my own")
    take_back(ctx, first.label_id)
    assert counting(ctx, named) == before
    third = accept_by_hand(ctx, named)
    assert counting(ctx, named) == ("human", "ok", before[2])
    take_back(ctx, third.label_id)
    assert rows(workspace)["labels"] == stored
    with pytest.raises(UsageError, match="not there"):
        take_back(ctx, third.label_id)


def test_only_what_a_person_said_can_be_taken_back(ctx: Context, query: Any, workspace: Path) -> None:
    ((label,),) = query(workspace, "SELECT min(id) FROM labels")
    with pytest.raises(UsageError, match="not there"):
        take_back(ctx, label)


@pytest.mark.parametrize("name", ["", "   ", "x" * 121, "\u202e"])
def test_a_name_that_cannot_be_one_is_refused(ctx: Context, named: str, name: str, rows: Any, workspace: Path) -> None:
    before = rows(workspace)["labels"]
    with pytest.raises(UsageError):
        name_by_hand(ctx, HandLabel(named, name))
    assert rows(workspace)["labels"] == before


def test_nothing_is_lost_while_another_process_writes(ctx: Context, named: str, rows: Any, workspace: Path) -> None:
    before = rows(workspace)["labels"]
    with WorkspaceFolder(workspace).lock():
        for act in (lambda: name_by_hand(ctx, HandLabel(named, "x")), lambda: reject_by_hand(ctx, named)):
            with pytest.raises(AutointerpError, match="process"):
                act()
    assert rows(workspace)["labels"] == before


def test_the_index_of_labels_is_left_to_the_next_search(ctx: Context, named: str, workspace: Path) -> None:
    (index,) = (workspace / "indexes").glob("*.labels.faiss")
    before = index.read_bytes()
    name_by_hand(ctx, HandLabel(named, "zebra"))
    assert index.read_bytes() == before
