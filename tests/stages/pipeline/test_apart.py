"""`label --apart` from the command line to the rows, against a server of the OpenAI protocol."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from autointerp.labeling.vlms import RemoteVlmKind

Cli = Callable[..., Any]
Query = Callable[..., list[Any]]

LABELS = (
    "SELECT f.latent_index, l.name, l.name_before, l.difference, l.told_apart_from, l.explanation, l.same_as"
    " FROM labels l JOIN labelers r ON r.id = l.labeler_id"
    " JOIN features f ON f.id = l.feature_id WHERE r.kind = 'vlm' ORDER BY l.id"
)


def _listed(stored: Any) -> list[int]:
    """A stored list of latents, which SQLite gives as text."""
    return json.loads(stored) if isinstance(stored, str) else stored


@pytest.fixture
def label(workspace: Path, vlm_server: Any, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> Cli:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    given = ("--labeler", "vlm", "--vlm", "gpt-4o-mini", "--base-url", vlm_server.base_url, "-j", "1", "--no-score")

    def run(*more: object) -> Any:
        return cli("-w", workspace, "label", "--layer", "mid", "-n", "3", *given, *more)

    return run


def script(scripted: Any, holds: bool, difference: str = "striped") -> Any:
    """Names all features `patch`, tells each from all others, and says of each word whether it holds."""

    def answer(request: dict[str, Any], number: int) -> Any:
        asked = json.dumps(request["response_format"])
        if "answers" in asked:
            shown = sum(part["type"] == "image_url" for part in request["messages"][1]["content"])
            return scripted.Reply(json.dumps({"answers": [holds] * shown}))
        if "difference" in asked:
            same = [] if difference else [1, 2]
            reply = {"parts": [], "same": same, "difference": difference, "name": f"{difference} patch".strip()}
            return scripted.Reply(json.dumps(reply))
        return scripted.Reply(scripted.label_json("patch"))

    return answer


@pytest.mark.parametrize("holds", [True, False])
def test_a_name_changes_where_its_new_words_hold(
    workspace: Path, label: Cli, vlm_server: Any, scripted: Any, cli: Cli, query: Query, holds: bool
) -> None:
    vlm_server.script = script(scripted, holds)
    assert "apart    shapes-turbo.mid.topk: at most 3 features" in label("--apart", "--dry-run").out
    done = label("--apart")
    assert done.code == 0, done.err
    first, rows = query(workspace, LABELS)[:3], query(workspace, LABELS)[3:]
    latents = [row[0] for row in rows]
    assert [row[:4] for row in first] == [(latent, "patch", "", "") for latent in latents]
    for latent, name, before, difference, apart, explanation, same in rows:
        assert (name, before) == (("striped patch", "patch") if holds else ("patch", ""))
        assert difference == "striped"
        assert _listed(same) == []
        assert sorted(_listed(apart)) == sorted({*latents} - {latent})
        assert explanation == "Fires on patch. Only this feature, of those of that name: striped."
    # What is told apart is not asked about again, and a difference is shown wherever its label is.
    asked = len(vlm_server.requests)
    assert "nothing to do" in label("--apart").err
    assert len(vlm_server.requests) == asked
    chosen = ("show", f"shapes-turbo.mid.topk:{latents[0]}", "--labeler", "vlm")
    shown = json.loads(cli("-w", workspace, *chosen, "--json").out)["label"]
    assert (shown["difference"], shown["name_before"]) == ("striped", "patch" if holds else "")
    assert sorted(shown["told_apart_from"]) == sorted(f"shapes-turbo.mid.topk:{other}" for other in latents[1:])
    assert "told apart from shapes-turbo.mid.topk:" in cli("-w", workspace, *chosen).out


def test_what_is_the_same_stays_as_it_was_and_is_not_asked_again(
    workspace: Path, label: Cli, vlm_server: Any, scripted: Any, query: Query, cli: Cli
) -> None:
    vlm_server.script = script(scripted, True, difference="")
    assert label("--apart").code == 0
    rows = query(workspace, LABELS)
    assert [(row[1], row[3]) for row in rows] == [("patch", "")] * 3
    assert [_listed(row[4]) for row in rows] == [[]] * 3
    # The answer is kept: which features are the same.
    latents = [row[0] for row in rows]
    assert [sorted(_listed(row[6])) for row in rows] == [sorted({*latents} - {one}) for one in latents]
    shown = cli("-w", workspace, "show", f"shapes-turbo.mid.topk:{latents[0]}", "--labeler", "vlm").out
    assert f"the same as shapes-turbo.mid.topk:{latents[1]}" in shown
    listed = cli("-w", workspace, "labels", "list", "--layer", "mid", "--labeler", "vlm", "--json").out
    assert [len(one["same_as"]) for one in json.loads(listed)] == [2, 2, 2]
    assert "nothing to do" in label("--apart").err


def test_a_budget_ends_the_pass_and_it_goes_on(
    workspace: Path, label: Cli, vlm_server: Any, scripted: Any, query: Query
) -> None:
    vlm_server.script = script(scripted, True)
    done = label("--apart", "--max-calls", "4")
    assert done.code == 3
    assert "4 calls" in done.err
    assert len(vlm_server.requests) == 4
    assert label("--apart").code == 0
    assert [row[1] for row in query(workspace, LABELS)] == ["patch"] * 3 + ["striped patch"] * 3
    purposes = [row[0].split()[0] for row in query(workspace, "SELECT purpose FROM calls WHERE answer IS NOT NULL")]
    assert purposes.count("label") == purposes.count("apart") == 3


def test_who_pays_is_asked_first(label: Cli, cli: Cli, workspace: Path) -> None:
    def steps(*more: object) -> list[str]:
        return [line.split()[0] for line in label("--dry-run", *more).out.splitlines()]

    assert "apart" not in steps()
    assert "apart" not in steps("--max-cost", "0.0001")
    assert "apart" not in steps("--max-cost", "5", "--no-apart")
    found = steps("--max-cost", "5")
    assert found.index("apart") == found.index("label") + 1
    assert "apart" in steps("--apart")
    plain = cli("-w", workspace, "label", "--layer", "mid", "--labeler", "clip", "--apart", "--dry-run")
    assert plain.code == 2
    assert "cannot tell features apart" in plain.err


def test_a_vlm_that_compares_no_pictures_is_asked_as_a_judge(
    workspace: Path, label: Cli, vlm_server: Any, scripted: Any, query: Query, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RemoteVlmKind, "tells_apart", False)
    vlm_server.script = script(scripted, True)
    done = label("--apart")
    assert done.code == 0, done.err
    # What is said to hold everywhere tells nothing from anything.
    rows = query(workspace, LABELS)
    latents = [row[0] for row in rows]
    assert [(row[1], row[3]) for row in rows] == [("patch", "")] * 3
    assert [sorted(_listed(row[6])) for row in rows] == [sorted({*latents} - {one}) for one in latents]
    asked = [json.dumps(request["response_format"]) for request in vlm_server.requests]
    assert not any("difference" in one for one in asked)
    assert sum("answers" in one for one in asked) > 3
    assert "nothing to do" in label("--apart").err
    assert len(vlm_server.requests) == len(asked)
