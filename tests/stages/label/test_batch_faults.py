"""Requests that fail in a batch: what follows is that of the kind of their fault."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.stages.label.batch_runs import FEATURES, answer, statuses

Cli = Callable[..., Any]
Query = Callable[..., list[Any]]


def test_failed_lines_are_failed_features(
    workspace: Path, label: Cli, vlm_server: Any, scripted: Any, query: Query
) -> None:
    def script(request: dict[str, Any], number: int) -> Any:
        asked = vlm_server.batches.made
        bad = {1: scripted.Reply("no such picture", 400), 2: scripted.Reply("", refusal="I will not")}
        return (
            bad.get(number, scripted.Reply(answer(request, scripted)))
            if asked
            else scripted.Reply(answer(request, scripted))
        )

    vlm_server.script = script
    done = label("--batch")
    assert done.code == 3
    assert "2 of " in done.err
    assert "--retry-failed" in done.err
    found = statuses(query, workspace)
    assert found.count("ok") == FEATURES - 2
    assert sum("no such picture (in a batch)" in one for one in found) == 1
    assert sum("the model refuses: I will not" in one for one in found) == 1
    vlm_server.script = lambda request, number: scripted.Reply(answer(request, scripted))
    assert label("--batch", "--retry-failed").code == 0
    assert statuses(query, workspace) == ["ok"] * FEATURES


def test_a_fault_of_the_setup_in_a_batch_ends_the_command(
    workspace: Path, label: Cli, vlm_server: Any, scripted: Any, query: Query
) -> None:
    good = vlm_server.script
    vlm_server.script = lambda request, number: (
        scripted.Reply("You exceeded your current quota, please check your plan and billing details.", 429)
        if vlm_server.batches.made
        else good(request, number)
    )
    done = label("--batch")
    assert done.code == 1
    assert "no credit left" in done.err
    assert "add credit" in done.err
    assert not any("failed" in one for one in statuses(query, workspace))
    vlm_server.script = good
    assert label("--batch").code == 0
    assert statuses(query, workspace) == ["ok"] * FEATURES


@pytest.mark.parametrize("passes", [True, False])
def test_a_fault_of_the_moment_in_a_batch_is_asked_again(
    workspace: Path, label: Cli, vlm_server: Any, scripted: Any, query: Query, passes: bool
) -> None:
    good = vlm_server.script
    vlm_server.script = lambda request, number: (
        scripted.Reply("The server is overloaded", 503)
        if number == 1 and len(vlm_server.batches.made) == 1 or (vlm_server.batches.made and not passes)
        else good(request, number)
    )
    done = label("--batch")
    sent = [len(vlm_server.batches.lines(one)) for one in vlm_server.batches.made]
    assert sent == ([FEATURES - 1, 1] if passes else 3 * [FEATURES - 1])
    assert done.code == (0 if passes else 3)
    failed = [one for one in statuses(query, workspace) if one != "ok"]
    assert failed == ([] if passes else ["failed The server is overloaded (in a batch)"] * (FEATURES - 1))


def test_a_form_that_is_refused_in_a_batch_is_left_out_of_the_next(
    workspace: Path, label: Cli, vlm_server: Any, scripted: Any, query: Query
) -> None:
    good = vlm_server.script
    vlm_server.script = lambda request, number: (
        scripted.Reply("'response_format' of type json_schema is not supported", 400)
        if vlm_server.batches.made and request["response_format"]["type"] == "json_schema"
        else scripted.Reply(scripted.label_json("a thing"))
        if vlm_server.batches.made
        else good(request, number)
    )
    done = label("--batch")
    assert done.code == 0, done.err
    assert statuses(query, workspace) == ["ok"] * FEATURES
    forms = [
        {line["body"]["response_format"]["type"] for line in vlm_server.batches.lines(one)}
        for one in vlm_server.batches.made
    ]
    assert forms == [{"json_schema"}, {"json_object"}]
