"""The Python surface, and the worked example of docs/api.md as it is written there."""

from __future__ import annotations

import inspect
import json
import re
import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autointerp import LabeledDictionary, Workspace
from autointerp.errors import UsageError

ROOT = Path(__file__).parents[1]
NAME = "shapes-turbo.mid.topk"
Cli = Callable[..., Any]


def test_the_worked_example_runs(
    labeled: Path, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli("-w", labeled, "-q", "export", "--layer", "mid", "-o", tmp_path / "out").code == 0
    lines = (tmp_path / "out" / "labels.jsonl").read_text(encoding="utf-8").splitlines()
    name = next(row["name"] for row in map(json.loads, lines) if row["name"])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["library.py", str(labeled), str(tmp_path / "out"), name])
    runpy.run_path(str(ROOT / "docs" / "examples" / "library.py"), run_name="__main__")
    said = capsys.readouterr().out
    assert f"{NAME}:" in said
    assert "shapes-turbo transformer.transformer_blocks.1: 64 features" in said
    pictures = sorted(p.name for p in tmp_path.glob("feature-*.png"))
    assert len(pictures) == 10


def test_the_page_shows_the_example_as_it_is() -> None:
    page = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    example = (ROOT / "docs" / "examples" / "library.py").read_text(encoding="utf-8")
    functions = re.findall(r"^def .*?(?=^def |^if )", example, re.MULTILINE | re.DOTALL)
    assert len(functions) == 2
    for function in functions:
        assert function.strip() in page


def test_every_public_name_is_on_the_page_and_documented() -> None:
    from autointerp.views.explained import ActiveFeature, ExplainedPicture
    from autointerp.views.feature_view import FeatureLabel, FeatureScore
    from autointerp.views.stored_feature import FeatureCrop, StoredFeature

    page = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    tables = (StoredFeature, FeatureCrop, LabeledDictionary)
    for kind in (Workspace, FeatureLabel, FeatureScore, ExplainedPicture, ActiveFeature, *tables):
        assert inspect.getdoc(kind)
        for name, member in vars(kind).items():
            if not name.startswith("_") and (inspect.isfunction(member) or isinstance(member, property)):
                assert inspect.getdoc(member), f"{kind.__name__}.{name} has no docstring"
                if kind in tables:
                    assert f"`{name}" in page or f".{name}" in page, f"docs/api.md does not name {kind.__name__}.{name}"


def test_a_question_that_python_asked_loads_no_embedder_at_the_command_line(workspace: Path, cli: Cli) -> None:
    asked = workspace / "indexes" / "questions.txt"
    asked.unlink(missing_ok=True)
    found = Workspace(workspace).search("red striped circle", count=3)
    kept = asked.read_text(encoding="ascii")
    assert kept.count("\n") == 1
    done = cli("-w", workspace, "search", "red striped circle", "-n", "3", "--json")
    assert [hit["feature"] for hit in json.loads(done.out)] == [hit.feature for hit in found]
    assert done.err == ""
    assert asked.read_text(encoding="ascii") == kept


def test_a_feature_and_its_crops(labeled: Path, query: Callable[..., list[Any]]) -> None:
    workspace = Workspace(labeled)
    ((index, density, crops),) = query(
        labeled,
        "SELECT f.latent_index, f.density, count(*) FROM features f JOIN crops c ON c.feature_id = f.id "
        "WHERE f.state = 'live' AND c.neighbour IS NULL "
        "AND NOT (c.role = 'quantile' AND c.quantile IS NULL) GROUP BY f.id, f.latent_index, f.density "
        "ORDER BY f.density DESC LIMIT 1",
    )
    feature = workspace.feature(f"{NAME}:{index}")
    assert (feature.index, feature.density, feature.state) == (index, density, "live")
    assert feature.label == feature.label
    assert feature.label.labeler == "clip"
    assert all(0 <= score.value <= 1 for score in feature.scores if score.value is not None)
    assert all(name.startswith(f"{NAME}:") and 0 < share <= 1 for name, share in feature.neighbours.items())
    assert feature.as_dict()["feature"] == feature.name
    every = feature.crops()
    assert len(every) == crops
    top, negative = feature.crops(role="top"), feature.crops(role="negative")
    assert top
    assert {crop.role for crop in top} == {"top"}
    assert all(crop.step == 1 for crop in top)
    held_out = feature.crops(role="top", split="score")
    assert 0 < len(held_out) < len(top)
    assert {crop.split for crop in held_out} == {"score"}
    first = top[0]
    assert first.activation_map is not None
    assert first.cell is not None
    assert first.activation_map[first.cell] == first.activation_map.max() == pytest.approx(first.activation, rel=1e-2)
    assert first.prompt
    assert first.picture.size == (96, 96)
    assert max(first.image(side=100).size) == 100
    assert first.heat(side=120).size == (120, 120)
    assert not np.array_equal(np.asarray(first.image()), np.asarray(first.image(mark=False)))
    assert negative
    assert negative[0].cell is None
    assert negative[0].activation == 0
    assert negative[0].heat(90).size == (90, 90)
    assert all(crop.hard and crop.role == "negative" for crop in feature.crops(hard=True))
    with pytest.raises(UsageError, match="is no feature"):
        workspace.feature("seventeen")
    workspace.close()


def test_a_bundle_of_the_hub_is_loaded_from_its_cache(
    labeled: Path, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the hub's client lays it out: a snapshot of links to files named by their hashes."""
    assert cli("-w", labeled, "-q", "export", "--layer", "mid", "-o", tmp_path / "out").code == 0
    repo = tmp_path / "cache" / "models--owner--name"
    (repo / "refs").mkdir(parents=True)
    (repo / "blobs").mkdir()
    (repo / "refs" / "main").write_text("c0ffee")
    for number, path in enumerate(sorted(p for p in (tmp_path / "out").rglob("*") if p.is_file())):
        link = repo / "snapshots" / "c0ffee" / path.relative_to(tmp_path / "out")
        link.parent.mkdir(parents=True, exist_ok=True)
        path.rename(repo / "blobs" / str(number))
        link.symlink_to(repo / "blobs" / str(number))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    loaded = LabeledDictionary.load("hf:owner/name", local_files_only=True)
    assert loaded.num_latents == 64
    assert loaded.d_in == 192
    assert loaded.provenance["name"] == NAME
