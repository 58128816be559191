"""The main job on the real embedded model: label, search, show, export, evaluate, and the package's own surface."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from autointerp import LabeledDictionary, Workspace, load_dictionary
from autointerp.errors import UsageError
from benchmarks import kinds

NAME = "shapes-turbo.mid.topk"
Cli = Callable[..., Any]
Query = Callable[..., list[Any]]


@pytest.fixture(scope="module")
def a_name(labeled: Path, query: Query) -> tuple[str, int]:
    """A name that a feature has, and that feature."""
    found = query(
        labeled,
        "SELECT l.name, f.latent_index FROM labels l JOIN features f ON f.id = l.feature_id WHERE l.status = 'ok'"
        " ORDER BY l.confidence DESC, f.latent_index",
    )
    return found[0]


def test_status_counts_what_is_there(labeled: Path, cli: Cli, query: Query) -> None:
    (row,) = json.loads(cli("-w", labeled, "status", "--json").out)["dictionaries"]
    assert row["dictionary"] == NAME
    assert row["features"] == 64
    assert row["live"] + row["dead"] + row["dense"] == 64
    assert row["labels"] + row["uninterpretable"] == row["live"]
    assert row["failed"] == 0
    assert row["labels"] > 5
    assert row["crops"] == len(query(labeled, "SELECT 1 FROM crops"))
    assert row["scores"] == row["labels"]
    assert NAME in cli("-w", labeled, "status").out


def test_search_finds_a_label_by_its_words(labeled: Path, cli: Cli, a_name: tuple[str, int]) -> None:
    name, index = a_name
    found = json.loads(cli("-w", labeled, "search", name, "--json", "-n", "64").out)
    assert all(
        set(hit) == {"feature", "name", "explanation", "score", "similarity", "density", "prompt", "ranks"}
        for hit in found
    )
    assert f"{NAME}:{index}" in [hit["feature"] for hit in found]
    assert len({hit["feature"] for hit in found}) == len(found)
    assert set(name.split()) & set(found[0]["name"].replace(",", "").split())


@pytest.mark.parametrize("route", ["words", "labels", "crops"])
def test_search_routes(labeled: Path, cli: Cli, query: Query, a_name: tuple[str, int], route: str) -> None:
    name, _ = a_name
    # After the features whose labels say it, the words route finds those whose prompts do.
    count = 5
    if route == "words":
        count = sum(name in one for (one,) in query(labeled, "SELECT name FROM labels WHERE status = 'ok'"))
    found = json.loads(cli("-w", labeled, "search", name, "--route", route, "--json", "-n", count).out)
    assert 0 < len(found) <= count
    if route == "words":
        # Words are compared by their stems: "edges" finds "edge".
        said = {word[:4] for word in name.replace(",", "").split()}
        for hit in found:
            assert said & {word[:4] for word in f"{hit['name']} {hit['explanation']}".replace(",", "").split()}, hit
    else:
        similar = [hit["similarity"] for hit in found]
        assert all(-1 <= s <= 1 for s in similar)
        assert similar == sorted(similar, reverse=True)
    if route == "labels":
        # The label's own words lie nearest to itself.
        assert found[0]["name"] == name
        assert similar[0] == pytest.approx(1, abs=1e-3)


def test_search_by_least_score(labeled: Path, cli: Cli) -> None:
    every = json.loads(cli("-w", labeled, "search", "red blue green circle", "--json", "-n", "64").out)
    ask = ("-w", labeled, "search", "red blue green circle", "--json", "-n", "64", "--min-score")
    bare = cli(*ask, "0.6")
    assert bare.err.count("--min-score gain=0.6") == 1
    some = json.loads(bare.out)
    by_name = cli(*ask, "embedding=0.6")
    assert (json.loads(by_name.out), by_name.err) == (some, "")
    assert json.loads(cli(*ask, "gain=-1").out) == []
    # What is left out takes no place in a route, so that the order may be another one.
    assert {h["feature"] for h in every if (h["score"] or 0) >= 0.6} == {h["feature"] for h in some} != set()
    assert all(h["score"] >= 0.6 for h in some)
    table = cli("-w", labeled, "search", "red", "--layer", "mid", "-n", "3")
    assert table.code == 0
    assert len(table.out.splitlines()) == 4
    other = cli("-w", labeled, "search", "red", "--layer", "late")
    assert other.code == 1
    assert "label --layer late" in other.err


def test_show_with_crops(labeled: Path, cli: Cli, query: Query, a_name: tuple[str, int], tmp_path: Path) -> None:
    from PIL import Image

    name, index = a_name
    shown = json.loads(cli("-w", labeled, "show", f"{NAME}:{index}", "--json", "--crops", tmp_path / "c").out)
    assert shown["label"]["name"] == name
    assert shown["state"] == "live"
    # A quantile crop without a quantile is there for estimates alone.
    crops = query(
        labeled,
        "SELECT 1 FROM crops c JOIN features f ON f.id = c.feature_id "
        "WHERE f.latent_index = ? AND NOT (c.role = 'quantile' AND c.quantile IS NULL)",
        index,
    )
    assert len(shown["crops"]) == len(crops)
    # Hard negatives are listed, and not among the pictures that names rest on.
    even = [crop for crop in shown["crops"] if crop["neighbour"] is None]
    assert len(even) == len(list((tmp_path / "c").glob("*.png"))) < len(crops)
    for path in (tmp_path / "c").iterdir():
        with Image.open(path) as picture:
            assert picture.format == "PNG"
            assert picture.size == (224, 224)
    text = cli("-w", labeled, "show", f"{NAME}:{index}").out
    assert name in text
    assert "embedding score" in text
    missing = cli("-w", labeled, "show", f"{NAME}:64")
    assert missing.code == 2
    assert "from 0 to 63" in missing.err
    near = cli("-w", labeled, "show", "shapes-turbo.mid.topq:1")
    assert near.code == 2
    assert f"did you mean '{NAME}'?" in near.err


def test_the_bundle_carries_labels_and_works_alone(labeled: Path, cli: Cli, query: Query, tmp_path: Path) -> None:
    done = cli("-w", labeled, "export", "--layer", "mid", "-o", tmp_path / "out")
    assert done.code == 0
    assert done.out == f"{tmp_path / 'out'}\n"
    bundle = LabeledDictionary.load(tmp_path / "out")
    original = load_dictionary(labeled / "dictionaries" / NAME)
    acts = torch.randn(20, original.d_in, generator=torch.Generator().manual_seed(0))
    one, two = original.encode(acts), bundle.encode(acts)
    assert torch.equal(one.latent_acts, two.latent_acts)
    assert torch.equal(one.latent_indices, two.latent_indices)
    assert torch.equal(original.decode(one), bundle.decode(two))
    named = query(
        labeled,
        "SELECT f.latent_index, l.name FROM labels l JOIN features f ON f.id = l.feature_id WHERE l.status = 'ok'",
    )
    assert f"{len(named)} labels" in done.err
    word = named[0][1].replace(",", "").split()[0]
    assert {row.index for row in bundle.find(word, n=64)} >= {i for i, name in named if word in name.split()}
    # Written over what is foreign, never.
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("x")
    refused = cli("-w", labeled, "export", "--layer", "mid", "-o", tmp_path / "mine")
    assert refused.code in (1, 2)
    assert refused.err.count("\n") == 1
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "x"


def test_json_lines(labeled: Path, cli: Cli, tmp_path: Path) -> None:
    assert cli("-w", labeled, "export", "--layer", "mid", "--format", "jsonl", "-o", tmp_path / "l.jsonl").code == 0
    path = tmp_path / "l.jsonl"
    found = [json.loads(line) for line in path.read_text().splitlines()]
    assert [row["index"] for row in found] == list(range(64))
    assert {row["status"] for row in found} <= {"ok", "uninterpretable", "unlabeled"}
    assert all(row["scores"][0]["method"] == "embedding" for row in found if row["status"] == "ok")


def test_evaluate(workspace: Path, cli: Cli) -> None:
    done = cli("-w", workspace, "evaluate", "--layer", "mid", "--json")
    assert done.code == 0, done.err
    found = json.loads(done.out)
    keys = {"layer", "dictionary", "features", "live", "dead", "grounded", "specific", "label_accuracy", "fvu", "l0"}
    assert keys | {"label_accuracy_specific", "score_precision_r", "controls"} <= set(found)
    assert (found["layer"], found["dictionary"], found["features"]) == ("mid", NAME, 64)
    assert 0 <= found["specific"] <= found["grounded"] <= 1
    assert set(found["controls"]) == {"random", "activations", "constant", "majority", "shuffled"}
    # Stored: the same figures at once, and nothing is generated.
    again = cli("-w", workspace, "evaluate", "--layer", "mid", "--json")
    assert json.loads(again.out) == found
    assert "evaluate" not in again.err
    assert {"truth_auroc", "precision_r"} <= set(found["scores"][0])
    table = cli("-w", workspace, "evaluate", "--layer", "mid")
    assert table.code == 0
    assert "any truth" in table.out
    # The benchmark of kinds shows the same figures in a row.
    header, _, row = (line.split(" | ") for line in kinds.table([found]).splitlines())
    assert len(row) == len(header)
    cells = dict(zip(header, row, strict=True))
    assert cells["any truth"].startswith(f"{found['exact']:.1%}")
    assert cells["specific"].startswith(f"{found['specific']:.1%}")
    assert f"{found['scores'][0]['value']:.3f}" in kinds.scores_table([found]).splitlines()[2]


def test_evaluate_sees_images_that_no_crop_has(labeled: Path, query: Query) -> None:
    from autointerp.shapes.captions import ShapesPrompts

    held_out = ShapesPrompts().held_out(12, 0, 40)
    assert not {job.prompt for job in held_out} & {p for (p,) in query(labeled, "SELECT prompt FROM images")}
    assert not {job.seed for job in held_out} & {s for (s,) in query(labeled, "SELECT seed FROM images")}


def test_the_python_surface(labeled: Path, cli: Cli, a_name: tuple[str, int]) -> None:
    name, index = a_name
    workspace = Workspace(labeled)
    assert workspace.status() == json.loads(cli("-w", labeled, "status", "--json").out)
    assert workspace.feature(f"{NAME}:{index}").label.name == name
    listed = json.loads(cli("-w", labeled, "search", name, "--json").out)
    assert [hit.as_dict() for hit in workspace.search(name)] == listed
    with pytest.raises(UsageError, match="empty"):
        workspace.search(" ")
    code = load_dictionary(labeled / "dictionaries" / NAME).encode(torch.zeros(3, workspace_width(labeled)))
    assert code.latent_acts.shape == code.latent_indices.shape == (3, 2)


def workspace_width(path: Path) -> int:
    return json.loads((path / "dictionaries" / NAME / "cfg.json").read_text())["d_in"]


def test_database_commands(workspace: Path, cli: Cli, query: Query, tmp_path: Path) -> None:
    assert cli("-w", workspace, "db", "path").out == f"{workspace / 'autointerp.db'}\n"
    assert cli("-w", workspace, "db", "upgrade").code == 0
    sound = cli("-w", workspace, "db", "check")
    assert sound.code == 0
    assert sound.out == ""
    assert cli("-w", workspace, "db", "backup", tmp_path / "copy.db").code == 0
    assert cli("-w", workspace, "db", "backup", tmp_path / "copy.db").code == 1
    with contextlib.closing(sqlite3.connect(tmp_path / "copy.db")) as copy:
        for table in ("dictionaries", "crops", "images", "labels", "scores"):
            assert copy.execute(f"SELECT * FROM {table}").fetchall() == query(workspace, f"SELECT * FROM {table}")
    with contextlib.closing(sqlite3.connect(workspace / "autointerp.db")) as db:
        db.execute("UPDATE images SET picture = x'00' WHERE id = (SELECT min(id) FROM images)")
        db.commit()
    hurt = cli("-w", workspace, "db", "check")
    assert hurt.code == 1
    assert len(hurt.out.splitlines()) == 1
    assert "1 problems" in hurt.err


def test_a_moved_workspace_is_the_same(workspace: Path, cli: Cli, a_name: tuple[str, int]) -> None:
    moved = workspace.rename(workspace.with_name("moved"))
    again = cli("-w", moved, "label", "--layer", "mid")
    assert again.code == 0
    assert "nothing to do" in again.err
    assert json.loads(cli("-w", moved, "search", a_name[0], "--json").out)
