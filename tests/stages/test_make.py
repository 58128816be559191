"""Like make: nothing is done twice, a plan writes nothing, changed settings go beside the old, `rm` takes all away."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from autointerp.project.settings import Settings

NAME = "shapes-turbo.mid.topk"
Cli = Callable[..., Any]
Rows = Callable[[Path], dict[str, list[Any]]]
Query = Callable[..., list[Any]]


def files(path: Path) -> dict[str, bytes]:
    """Every file of a workspace but the database's own, which `rows` compares."""
    found = [p for p in path.rglob("*") if p.is_file() and not p.name.startswith(("autointerp.db", ".lock"))]
    return {str(p.relative_to(path)): p.read_bytes() for p in found}


def change(workspace: Path, old: str, new: str) -> None:
    path = workspace / "autointerp.toml"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


def test_a_second_run_does_nothing_and_says_so(workspace: Path, cli: Cli, rows: Rows) -> None:
    before, kept = rows(workspace), files(workspace)
    for command in (["label"], ["harvest"], ["fit"], ["score"]):
        again = cli("-w", workspace, *command, "--layer", "mid")
        assert again.code == 0
        assert "nothing to do: everything is up to date" in again.err.splitlines()
        assert NAME in again.out
    assert rows(workspace) == before
    assert files(workspace) == kept
    assert cli("-q", "label", "--layer", "mid", "-w", workspace).err == ""


def test_on_shapes_the_embedded_vlm_names_and_judges_if_none_is_set(workspace: Path, cli: Cli, query: Query) -> None:
    change(workspace, 'labeler = "clip"', 'labeler = "auto"')
    label = ("-w", workspace, "label", "--layer", "mid", "-n", "30")
    assert "30 features by shapes-vlm" in cli(*label, "--dry-run").out
    assert cli(*label).code == 0
    # A label that was told apart is a new one of its feature.
    of = "FROM labels l JOIN labelers b ON b.id = l.labeler_id WHERE b.kind = 'shapes-vlm'"
    named = dict(query(workspace, f"SELECT l.status, count(DISTINCT l.feature_id) {of} GROUP BY 1"))
    assert sum(named.values()) == 30
    assert "failed" not in named
    judged = "SELECT count(*) FROM scores s JOIN labelers b ON b.id = s.judge_id WHERE b.model LIKE 'shapes-vlm@%'"
    assert query(workspace, f"{judged} AND s.method = 'gain'") == [(named["ok"],)]
    assert "nothing to do" in cli(*label).err


@pytest.mark.parametrize(
    "command",
    [
        ["label", "--layer", "mid"],
        ["label", "--layer", "mid", "--labeler", "prompts"],
        ["label", "--layer", "mid", "--labeler", "vlm", "--vlm", "m", "--base-url", "http://127.0.0.1:1/v1"],
        ["label", "--layer", "late"],
        ["harvest", "--layer", "mid", "--images", "50"],
        ["fit", "--layer", "mid", "--latents", "32"],
        ["evaluate", "--layer", "mid"],
        ["score", "--layer", "mid"],
    ],
    ids=" ".join,
)
def test_a_plan_writes_nothing(workspace: Path, cli: Cli, rows: Rows, command: list[str]) -> None:
    before, kept = rows(workspace), files(workspace)
    planned = cli("-w", workspace, *command, "--dry-run")
    assert planned.code == 0
    assert planned.out.strip()
    assert all(
        line.split()[0] in ("fit", "harvest", "index", "label", "score", "evaluate")
        for line in planned.out.splitlines()
    )
    assert rows(workspace) == before
    assert files(workspace) == kept


def test_a_plan_tells_what_would_run(tmp_path: Path, cli: Cli, small_parts: None) -> None:
    nowhere = tmp_path / "w"
    planned = cli(
        "-w", nowhere, "label", "--layer", "mid", "-n", "7", "--labeler", "vlm", "--vlm", "gpt-4o-mini", "--dry-run"
    )
    assert planned.code == 0
    assert not nowhere.exists()
    lines = dict(line.split(maxsplit=1) for line in planned.out.splitlines())
    settings = Settings()
    assert "800 images" in lines["fit"]
    assert f"{settings.images} images" in lines["harvest"]
    assert "7 features by gpt-4o-mini, 7 calls" in lines["label"]
    assert "$" in lines["label"]


def test_changed_settings_give_a_new_name_and_keep_the_old(workspace: Path, cli: Cli, query: Query) -> None:
    labels = (
        "SELECT l.* FROM labels l JOIN features f ON f.id = l.feature_id"
        f" JOIN dictionaries d ON d.id = f.dictionary_id WHERE d.name = '{NAME}'"
    )
    crops = labels.replace("l.* FROM labels l", "l.* FROM crops l")
    old = query(workspace, labels), query(workspace, crops)
    change(workspace, "top = 6", "top = 8")
    done = cli("-w", workspace, "harvest", "--layer", "mid")
    assert done.code == 0
    assert done.out.startswith(f"{NAME}-2: ")
    assert (query(workspace, labels), query(workspace, crops)) == old
    assert old[0]
    weights = query(workspace, "SELECT name, weights_sha256 FROM dictionaries ORDER BY id")
    assert [n for n, _ in weights] == [NAME, f"{NAME}-2"]
    assert weights[0][1] == weights[1][1]
    assert "nothing to do" in cli("-w", workspace, "harvest", "--layer", "mid").err
    # The old settings mean the old result again.
    change(workspace, "top = 8", "top = 6")
    again = cli("-w", workspace, "label", "--layer", "mid")
    assert "nothing to do" in again.err
    assert again.out.startswith(f"{NAME}: ")
    assert len(query(workspace, "SELECT 1 FROM dictionaries")) == 2
    # Images are shared: with one name gone, the other still has all of its own.
    assert cli("-w", workspace, "rm", f"{NAME}-2").code == 0
    assert (query(workspace, labels), query(workspace, crops)) == old
    assert cli("-w", workspace, "db", "check").code == 0


def test_another_fit_gets_another_name(workspace: Path, cli: Cli, query: Query) -> None:
    done = cli("-w", workspace, "fit", "--layer", "mid", "--latents", "48")
    assert done.code == 0
    assert done.out.startswith(f"{NAME}-2: 48 latents")
    assert "nothing to do" in cli("-w", workspace, "fit", "--layer", "mid", "--latents", "48").err
    taken = cli("-w", workspace, "fit", "--layer", "mid", "--latents", "40", "--name", NAME)
    assert taken.code == 2
    assert "already" in taken.err
    bad = cli("-w", workspace, "-q", "fit", "--layer", "mid", "--latents", "40", "--name", "a/b")
    assert bad.code == 2
    assert "cannot name a dictionary" in bad.err
    assert len(query(workspace, "SELECT 1 FROM dictionaries")) == 2
    assert len(query(workspace, "SELECT 1 FROM runs WHERE kind = 'fit'")) == 2
    random = cli("-w", workspace, "fit", "--layer", "mid", "--kind", "random", "--name", "chance")
    assert random.code == 0
    assert random.out.startswith("chance: 64 latents")
    config = json.loads((workspace / "dictionaries" / "chance" / "cfg.json").read_text())
    assert config["kind"] == "random"


def test_rm_takes_everything_away_and_nothing_else(workspace: Path, cli: Cli, query: Query) -> None:
    # A name that another one begins with must not take that one's files along.
    assert cli("-w", workspace, "fit", "--layer", "mid", "--kind", "random", "--name", "shapes-turbo.mid").code == 0
    indexes = {p.name for p in (workspace / "indexes").iterdir()}
    assert len(indexes) == 3
    assert cli("-w", workspace, "rm", "shapes-turbo.mid").code == 0
    assert {p.name for p in (workspace / "indexes").iterdir()} == indexes
    assert [p.name for p in (workspace / "dictionaries").iterdir()] == [NAME]

    assert cli("-w", workspace, "rm", NAME).code == 0
    for table in (
        "dictionaries",
        "features",
        "crops",
        "images",
        "labels",
        "scores",
        "indexes",
        "runs",
        "labels_fts",
        "features_fts",
    ):
        assert not query(workspace, f"SELECT 1 FROM {table}"), table
    assert list((workspace / "indexes").iterdir()) == []
    assert list((workspace / "dictionaries").iterdir()) == []
    assert cli("-w", workspace, "rm", NAME).code == 2
    assert "no dictionaries yet" in cli("-w", workspace, "status").out


def test_force_and_single_features(workspace: Path, cli: Cli, query: Query) -> None:
    live = [i for (i,) in query(workspace, "SELECT latent_index FROM features WHERE state = 'live' ORDER BY 1")]
    per = (
        "SELECT f.latent_index FROM labels l JOIN features f ON f.id = l.feature_id"
        " JOIN labelers r ON r.id = l.labeler_id WHERE r.kind = 'prompts' ORDER BY l.id"
    )
    label = ("-w", workspace, "label", "--layer", "mid", "--labeler", "prompts")
    assert cli(*label, "--feature", live[3], "--feature", live[1]).code == 0
    assert [i for (i,) in query(workspace, per)] == [live[3], live[1]]
    assert cli(*label, "-n", "3").code == 0
    assert sorted(i for (i,) in query(workspace, per)) == live[:4]
    assert "nothing to do" in cli(*label, "-n", "3").err
    assert cli(*label, "--feature", live[0], "--force").code == 0
    assert [i for (i,) in query(workspace, per)].count(live[0]) == 2
    assert cli(*label, "--feature", 64).code == 2


@pytest.mark.parametrize("kind", ["crops", "labels"])
def test_a_damaged_index_is_made_again(workspace: Path, cli: Cli, kind: str) -> None:
    path = workspace / "indexes" / f"{NAME}.{kind}.faiss"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    hurt = cli("-w", workspace, "search", "red circle")
    assert hurt.code == 0
    assert "is damaged: it is built again" in hurt.err
    assert path.read_bytes() == whole
    path.unlink()
    assert cli("-w", workspace, "label", "--layer", "mid").code == 0
    assert path.read_bytes() == whole
    assert cli("-w", workspace, "search", "red circle").code == 0
