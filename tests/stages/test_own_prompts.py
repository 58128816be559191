"""Prompt files and notes of a workspace's own: what the VLM is told, and whose the labels then are."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Cli = Callable[..., Any]


@pytest.fixture
def ask(workspace: Path, vlm_server: Any, scripted: Any, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> Cli:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    given = ("--vlm", "m", "--base-url", vlm_server.base_url, "-j", "1")

    def answer(request: dict[str, Any], number: int) -> Any:
        shown = sum(part["type"] == "image_url" for part in request["messages"][1]["content"])
        if "answers" in json.dumps(request["response_format"]):
            return scripted.Reply(json.dumps({"answers": [True] * shown}))
        return scripted.Reply(scripted.label_json(f"thing {number}"))

    vlm_server.script = answer
    return lambda command, *more: cli("-w", workspace, command, "--layer", "mid", *given, *more)


def told(vlm_server: Any) -> list[str]:
    return [request["messages"][0]["content"] for request in vlm_server.requests]


def test_a_changed_prompt_is_another_labeler(
    workspace: Path, ask: Cli, vlm_server: Any, cli: Cli, query: Callable[..., list[Any]]
) -> None:
    label = ("label", "--labeler", "vlm", "-n", "1", "--no-score")
    assert ask(*label).code == 0
    assert len(told(vlm_server)) == 1
    own = workspace / "prompts"
    own.mkdir()
    (own / "label.md.j2").write_text("Say what you see. {{ mark }}")
    assert ask(*label).code == 0
    assert told(vlm_server)[1].startswith("Say what you see. it is outlined")
    assert "nothing to do" in ask(*label).err
    assert len(told(vlm_server)) == 2
    labelers = query(workspace, "SELECT prompt_hash FROM labelers WHERE kind = 'vlm' ORDER BY id")
    assert len(set(labelers)) == 2
    # Told apart by name too, where they are listed and chosen.
    listed = [x["labeler"] for x in json.loads(cli("-w", workspace, "labels", "list", "--json").out)][1:]
    assert len(set(listed)) == 2
    assert all(name.startswith("vlm@m#") for name in listed)
    latent = query(workspace, "SELECT f.latent_index FROM features f JOIN labels l ON l.feature_id = f.id"
                   " JOIN labelers r ON r.id = l.labeler_id WHERE r.kind = 'vlm'")[0][0]  # fmt: skip
    for number, name in enumerate(listed):
        found = cli("-w", workspace, "show", f"shapes-turbo.mid.topk:{latent}", "--json", "--labeler", name)
        assert json.loads(found.out)["label"]["name"] == f"thing {number}"
    # Without it the first one is meant again.
    (own / "label.md.j2").unlink()
    assert "nothing to do" in ask(*label).err
    assert len(told(vlm_server)) == 2


def test_a_judge_has_its_prompts_from_there_too(workspace: Path, ask: Cli, vlm_server: Any) -> None:
    own = workspace / "prompts"
    own.mkdir()
    (own / "detect.md.j2").write_text("Is it {{ name }}? {{ count }} answers.")
    assert ask("score", "--method", "detection", "--method", "fuzzing", "--max-calls", "1").code == 3
    assert told(vlm_server)[0].startswith("Is it ")


@pytest.mark.parametrize(
    ("file", "command", "source", "said"),
    [
        ("label.md.j2", ("label", "--labeler", "vlm"), "{% if x", "line 1"),
        ("repair.md.j2", ("label", "--labeler", "vlm"), "{{ eror }}", "did you mean 'error'"),
        ("detect.md.j2", ("score", "--method", "detection"), "{{ colour }}", "'colour'"),
        ("detct.md.j2", ("score", "--method", "detection"), "x", "did you mean 'detect.md.j2'"),
    ],
)
def test_a_broken_file_is_told_before_any_call(
    workspace: Path, ask: Cli, vlm_server: Any, file: str, command: tuple[str, ...], source: str, said: str
) -> None:
    own = workspace / "prompts" / file
    own.parent.mkdir()
    own.write_text(source)
    done = ask(*command)
    assert done.code == 1, done.err
    assert said in done.err, done.err
    assert str(own) in done.err, done.err
    assert done.err.count("\n") == 1, done.err
    assert not vlm_server.requests


def test_notes_of_a_layer_are_told_for_that_layer_alone(
    workspace: Path, ask: Cli, vlm_server: Any, cli: Cli, query: Callable[..., list[Any]]
) -> None:
    settings = workspace / "autointerp.toml"
    plain = settings.read_text()
    label = ("label", "--labeler", "vlm", "-n", "1", "--no-score")
    hookpoint = query(workspace, "SELECT hookpoint FROM dictionaries")[0][0]
    for notes in ('late = "Of late."', 'late = "Of late."\nmid = "It sees colours."', f'"{hookpoint}" = "By place."'):
        settings.write_text(f"{plain}\n[notes]\n{notes}\n")
        assert ask(*label).code == 0
    first, second, third = told(vlm_server)
    assert "Of late" not in first + second
    assert second == f"{first}\n\nIt sees colours."
    assert third == f"{first}\n\nBy place."
    assert len(query(workspace, "SELECT DISTINCT config_hash FROM labelers WHERE kind = 'vlm'")) == 3
    settings.write_text(f'{plain}\n[notes]\nmdi = "x"\n')
    done = ask(*label, "--force")
    assert done.code == 2, done.err
    assert "[notes]" in done.err, done.err
    assert "did you mean 'mid'" in done.err, done.err
    assert len(vlm_server.requests) == 3
