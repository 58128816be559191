"""The plan of an import."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from autointerp.project.context import Context
from autointerp.project.workspace import WorkspaceFolder
from autointerp.transfer.importing.planning import note_of_weights

from ..bundles import Cli
from ..files import saelens


def test_a_dry_run_stores_nothing(tmp_path: Path, cli: Cli) -> None:
    done = cli("-w", tmp_path / "w", "import", saelens(tmp_path / "sae"), "--layer", "mid", "--dry-run")
    assert done.code == 0
    assert done.out == "import   shapes-turbo.mid.topk: topk, 24 latents, k 3, of saelens, 0 labels\n"
    assert not (tmp_path / "w").exists()


def test_a_bundle_needs_no_layer(labeled: Path, tmp_path: Path, cli: Cli) -> None:
    done = cli("-w", labeled, "export", "--layer", "mid", "-o", tmp_path / "out")
    assert done.code == 0, done
    first = (tmp_path / "out" / "labels.jsonl").read_text()
    count = sum(json.loads(line)["status"] == "ok" for line in first.splitlines())
    back = cli("-w", tmp_path / "w", "import", tmp_path / "out")
    assert back.code == 0, back
    assert back.out.startswith("shapes-turbo.mid.topk: topk, 64 latents, of bundle"), back
    row = json.loads(cli("-w", tmp_path / "w", "status", "--json").out)["dictionaries"][0]
    assert row["labels"] == count
    assert row["features"] == 64
    assert cli("-w", tmp_path / "w", "export", "--layer", "mid", "-o", tmp_path / "again").code == 0
    assert (tmp_path / "again" / "labels.jsonl").read_text() == first


def test_of_another_model_or_layer_labels_come_and_crops_stay(bundle: Path, tmp_path: Path, cli: Cli) -> None:
    done = cli("-w", tmp_path / "w", "import", bundle, "--layer", "early")
    assert done.code == 0, done
    assert "crops stay behind: they are of layer mid" in done.err, done
    row = json.loads(cli("-w", tmp_path / "w", "status", "--json").out)["dictionaries"][0]
    assert (row["layer"], row["crops"]) == ("early", 0)
    assert row["labels"] > 0


@pytest.mark.parametrize(
    ("there", "here", "loading", "says"),
    [
        ("abc", "abc", {}, ""),
        ("abc+nf4", "def+nf4", {"quantize": "nf4"}, ""),
        ("abc+lora-1-x0.8", "abc", {"lora": ["style:0.8"]}, 'set loading.lora = ["style:0.8"] to use it'),
        ("abc+nf4", "abc", None, "set loading.lora and loading.quantize as there"),
        ("abc", "abc+nf4", {}, "this workspace's model has nf4: unset them"),
    ],
)
def test_other_weights_of_the_model_are_noted(labeled: Path, there: str, here: str, loading: Any, says: str) -> None:
    workspace = WorkspaceFolder(labeled)
    about = replace(Context(workspace).description, revision=here)
    ctx = Context(workspace, loading={"quantize": here.partition("+")[2] or "none"})
    ctx.__dict__["description"] = about
    found = note_of_weights(ctx, {"revision": there, "loading": loading})
    assert says in " ".join(found)
    assert bool(found) == bool(says)
    assert note_of_weights(ctx, {}) == ()
    ctx.workspace.close()
