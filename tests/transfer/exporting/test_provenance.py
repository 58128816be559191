"""What an export says of where its dictionary comes from."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
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


def test_what_the_weights_were_made_into_is_told_without_folders(ctx: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    row, described = ctx.dictionary_named(NAME), ctx.description
    assert provenance_of(ctx, row)["loading"] == {}
    loading = ctx.settings.loading.model_copy(
        update={"lora": ["/home/anna/style.safetensors:0.8", "owner/name"], "quantize": "nf4"}
    )
    ctx.settings = ctx.settings.model_copy(update={"loading": loading})
    row.revision = f"{row.revision}+nf4+lora-0123456789ab-x0.8"
    monkeypatch.setitem(ctx.__dict__, "description", replace(described, revision=row.revision))
    told = provenance_of(ctx, row)["loading"]
    assert told == {"lora": ["style.safetensors:0.8", "owner/name:1"], "quantize": "nf4"}
    # The settings mean other weights by now, and say nothing of these.
    row.revision = f"{row.revision}-x"
    assert provenance_of(ctx, row)["loading"] == {}
