"""The rows that a bundle carries come back, into an empty workspace and into one that has some of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sqlalchemy import select

from autointerp import Workspace

from .bundles import NAME, Cli, content


def test_a_round_trip_gives_equal_rows_and_equal_bytes(
    judged: Path, bundle: Path, tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A bundle says all itself: no model is looked at.
    monkeypatch.setattr("autointerp.project.context.describe_model", None)
    done = cli("-w", tmp_path / "w", "import", bundle)
    assert done.code == 0, done
    assert done.out.startswith(f"{NAME}: topk, 64 latents, of bundle"), done
    before, after = content(judged), content(tmp_path / "w")
    assert all(before[table] for table in before), "a table without rows proves nothing"
    assert any(row["status"] == "failed" for row in before["labels"])
    assert any(row["picture"] for row in before["images"])
    assert any(row["activation_map"] for row in before["crops"])
    for table, rows in before.items():
        assert after[table] == rows, table
    for name in ("weights.safetensors", "cfg.json"):
        kept = (judged / "dictionaries" / NAME / name).read_bytes()
        assert (bundle / name).read_bytes() == kept == (tmp_path / "w" / "dictionaries" / NAME / name).read_bytes()


def test_what_was_restored_is_up_to_date_and_whole(bundle: Path, tmp_path: Path, cli: Cli, small_parts: None) -> None:
    """Its settings came along, so nothing is fitted or harvested anew; the words of its labels are found."""
    workspace = tmp_path / "w"
    assert cli("-w", workspace, "-q", "import", bundle).code == 0
    done = cli("-w", workspace, "db", "check")
    assert (done.code, done.out) == (0, ""), done
    plan = cli("-w", workspace, "label", "--layer", "mid", "--labeler", "clip", "--dry-run").out.splitlines()
    assert [line.split()[0] for line in plan if line.endswith("up to date")] == ["fit", "harvest", "label", "score"]
    name = next(r for r in map(json.loads, (bundle / "labels.jsonl").read_text().splitlines()) if r["name"])["name"]
    found = json.loads(cli("-w", workspace, "search", name, "--route", "words", "--json").out)
    assert found
    assert found[0]["name"] == name
    again = cli("-w", workspace, "import", bundle)
    assert again.code == 0
    assert "nothing to do" in again.err
    second = cli("-w", workspace, "export", "--layer", "mid", "-o", tmp_path / "again")
    assert second.code == 0
    for file in ("labels.jsonl", "weights.safetensors", "features.png", "README.md"):
        assert (tmp_path / "again" / file).read_bytes() == (bundle / file).read_bytes()


def test_beside_what_is_there_images_and_labelers_are_shared(bundle: Path, workspace: Path, cli: Cli) -> None:
    """Another dictionary of the same images: the bundle's is stored under the next name, no picture twice."""
    opened = Workspace(workspace)
    from autointerp.db.models import DictionaryRow, Run

    with opened.db.session() as session:
        row = session.scalars(select(DictionaryRow)).one()
        row.identity = "0" * 64
        for run in session.scalars(select(Run)):
            run.identity = f"{run.id:064}"
    opened.close()
    before = content(workspace)
    done = cli("-w", workspace, "-q", "import", bundle)
    assert done.code == 0, done
    assert done.out.startswith(f"{NAME}-2:"), done
    after = content(workspace)
    assert after["images"] == before["images"]
    kinds = sorted(row["kind"] for row in after["labelers"])
    assert kinds == sorted({row["kind"] for row in before["labelers"]} | {"control", "prompts"})
    crops = len(before["crops"])
    assert len(after["crops"]) == 2 * crops
    for one, other in zip(after["crops"][:crops], after["crops"][crops:], strict=True):
        assert {**one, "feature_id": 0} == {**other, "feature_id": 0}
        assert one["feature_id"] != other["feature_id"]
    # The next row goes on after those that came with ids of their own.
    assert cli("-w", workspace, "-q", "label", "--layer", "mid", "--labeler", "prompts", "-n", "3").code == 0
