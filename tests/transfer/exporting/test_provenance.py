"""What an export says of where its dictionary comes from."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from autointerp.project.context import Context
from autointerp.project.settings import HERE_ALONE
from autointerp.project.workspace import WorkspaceFolder
from autointerp.transfer.exporting.provenance import provenance_of
from autointerp.version import VERSION

from ..bundles import NAME


@pytest.fixture
def ctx(labeled: Path) -> Iterator[Context]:
    opened = WorkspaceFolder(labeled)
    yield Context(opened)
    opened.close()


def test_it_is_json_that_names_what_made_the_dictionary(ctx: Context) -> None:
    row = ctx.dictionary_named(NAME)
    found = provenance_of(ctx, row)
    assert json.loads(json.dumps(found)) == found
    assert (found["name"], found["layer"], found["weights_sha256"]) == (NAME, "mid", row.weights_sha256)
    assert found["harvest"]["images"] == 40
    assert 0 < found["prompts"]["of_kept_images"] <= 40
    assert [labeler["kind"] for labeler in found["labelers"]] == ["clip"]
    assert found["versions"]["autointerp"] == VERSION
    assert not set(found["settings"]) & set(HERE_ALONE)


def test_only_the_chosen_labelers_are_listed(ctx: Context) -> None:
    assert provenance_of(ctx, ctx.dictionary_named(NAME), labelers=[])["labelers"] == []


def test_the_folders_above_a_file_of_prompts_are_private(ctx: Context) -> None:
    named = ctx.settings.changed(prompts="/home/anna/secret/mine.txt")
    ctx.settings = ctx.workspace.settings = named
    found = provenance_of(ctx, ctx.dictionary_named(NAME))
    assert found["prompts"]["source"] == "mine.txt"
    assert "prompts" not in found["settings"]
    assert "anna" not in json.dumps(found)
