"""`--labeler` chooses one labeler's labels in every command that reads labels."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy import select

from autointerp.db.models import Feature, Label, LabelerRow
from autointerp.project.workspace import WorkspaceFolder

Cli = Callable[..., Any]


Query = Callable[..., list[Any]]


NAME = "shapes-turbo.mid.topk"


def shown(run: Cli, latent: int, *more: object) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(run("show", f"{NAME}:{latent}", "--json", *more).out)
    return found


def test_one_labelers_labels_are_searched_exported_and_evaluated(
    run: Cli, workspace: Path, live: list[int], tmp_path: Path
) -> None:
    for latent in live[:2]:
        assert run("label", "--feature", f"{NAME}:{latent}", "--name", "zebra crossing").code == 0
    clip_name = shown(run, live[0], "--labeler", "clip")["label"]["name"]
    for route in ("words", "labels"):
        mine = json.loads(run("search", "zebra", "--route", route, "--labeler", "human", "--json").out)
        assert {hit["feature"] for hit in mine} == {f"{NAME}:{latent}" for latent in live[:2]}, route
        theirs = json.loads(run("search", clip_name, "--route", route, "--labeler", "clip", "-n", 100, "--json").out)
        found = {hit["feature"]: hit["name"] for hit in theirs}
        assert found[f"{NAME}:{live[0]}"] == clip_name, route
        assert "zebra crossing" not in found.values(), route
    assert json.loads(run("search", "zebra", "--labeler", "clip", "--route", "words", "--json").out) == []

    def exported(*more: object) -> dict[int, str]:
        out = tmp_path / f"out{len(list(tmp_path.iterdir()))}"
        assert run("export", "--layer", "mid", "-o", out, "--format", "jsonl", *more).code == 0
        rows = [json.loads(line) for line in (out / "labels.jsonl").read_text().splitlines()]
        return {row["index"]: row["name"] for row in rows if row["status"] == "ok"}

    assert exported()[live[0]] == "zebra crossing"
    assert set(exported()) == set(live)
    assert exported("--labeler", "human") == dict.fromkeys(live[:2], "zebra crossing")
    assert exported("--labeler", "clip")[live[0]] == clip_name

    # Measured once; the labels are held against that whoever's they are.
    evaluated = [
        run("evaluate", "--layer", "mid", "--json", *by) for by in ((), ("--labeler", "hum"), ("--labeler", "clip"))
    ]
    assert [json.loads(done.out)["labeled"] for done in evaluated] == [len(live), 2, len(live)]
    assert "evaluate" in evaluated[0].err
    assert "evaluate" not in evaluated[1].err + evaluated[2].err
    # No truth is about zebras.
    assert json.loads(evaluated[1].out)["label_accuracy"] in (0.0, None)
    assert "left out" not in "".join(done.err for done in evaluated)

    older = json.loads(run("labels", "list", "--json").out)[0]["labeler"]
    _label_by_another_clip(workspace, live[:3])
    done = run("evaluate", "--layer", "mid", "--json", "--labeler", "clip")
    assert json.loads(done.out)["labeled"] == 3
    told = next(line for line in done.err.splitlines() if "left out" in line)
    newer, left_out = re.findall(r"clip\S*#[0-9a-f]{6}", told)
    assert newer != left_out
    # Either is to be had by its own name.
    assert left_out.startswith(older)
    for name, labeled in ((newer, 3), (left_out, len(live))):
        one = run("evaluate", "--layer", "mid", "--json", "--labeler", name)
        assert json.loads(one.out)["labeled"] == labeled
        assert "left out" not in one.err


def _label_by_another_clip(workspace: Path, latents: list[int]) -> None:
    """Let the labeler clip, in another configuration, have named some features last."""
    with WorkspaceFolder(workspace).db.session() as session:
        known = session.scalars(select(LabelerRow).where(LabelerRow.kind == "clip")).one()
        other = LabelerRow(kind="clip", model=known.model, prompt_hash=known.prompt_hash, config_hash="another")
        session.add(other)
        session.flush()
        for feature in session.scalars(select(Feature).where(Feature.latent_index.in_(latents))):
            session.add(Label(feature_id=feature.id, labeler_id=other.id, status="ok", name="red", confidence=0.5))


def test_an_unknown_labeler_is_one_line(run: Cli, live: list[int]) -> None:
    assert run("label", "--feature", f"{NAME}:{live[0]}", "--name", "x", "--by", "anna").code == 0
    assert run("label", "--feature", f"{NAME}:{live[0]}", "--name", "x", "--by", "ben").code == 0
    for command in (("search", "x"), ("show", f"{NAME}:{live[0]}"), ("evaluate", "--layer", "mid")):
        done = run(*command, "--labeler", "clpi")
        assert done.code == 2, done.err
        assert "did you mean 'clip'" in done.err, done.err
        assert done.err.count("\n") == 1, done.err
    several = run("show", f"{NAME}:{live[0]}", "--labeler", "human@")
    assert several.code == 2
    assert "human@anna, human@ben" in several.err
    assert shown(run, live[0], "--labeler", "human@b")["labels"][-1]["counts"]
    assert shown(run, live[0], "--labeler", "human")["labels"][-1]["counts"]
