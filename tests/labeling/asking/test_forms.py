from __future__ import annotations

import time
from collections import Counter
from typing import Any

import pytest

from autointerp.labeling.asking.forms import SCHEMA, KnownForm, RequestForm
from autointerp.labeling.labelers.vlm import VlmLabeler

from ..clients import client_of, features_of
from ..conftest import World
from ..openai_server import Reply, ScriptedServer, label_json


@pytest.fixture(autouse=True)
def _no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


def without_forms(request: dict[str, Any], number: int) -> Reply:
    """A server that takes no schema, and no wish for JSON either."""
    if "response_format" in request:
        return Reply(f"response_format {request['response_format']['type']} is not supported", 400)
    return Reply(label_json())


def test_refused_schema_falls_back_and_stays_there(world: World, server: ScriptedServer) -> None:
    server.script = without_forms
    results = list(VlmLabeler(client_of(server), jobs=1).label(features_of(world, 3)))
    assert [r.status for r in results] == ["ok"] * 3
    forms = [r.get("response_format", {}).get("type") for r in server.requests]
    assert forms == ["json_schema", "json_object", None, None, None]
    assert '"interpretable"' in server.requests[-1]["messages"][0]["content"]


def test_requests_that_wait_do_not_ask_in_a_form_that_was_refused(world: World, server: ScriptedServer) -> None:
    def script(request: dict[str, Any], number: int) -> Reply:
        time.sleep(0.2)
        return without_forms(request, number)

    server.script = script
    results = list(VlmLabeler(client_of(server), jobs=4).label(features_of(world, 8)))
    assert [r.status for r in results] == ["ok"] * 8
    forms = Counter(r.get("response_format", {}).get("type") for r in server.requests)
    assert forms["json_schema"] <= 4
    assert forms["json_object"] <= 4
    assert forms[None] == 8


def test_refused_parameters_are_left_out(world: World, server: ScriptedServer) -> None:
    def script(request: dict[str, Any], number: int) -> Reply:
        if "max_tokens" in request:
            return Reply("Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead.", 400)
        if "temperature" in request:
            return Reply("'temperature' does not support 0", 400)
        return Reply(label_json())

    server.script = script
    (result,) = VlmLabeler(client_of(server)).label(features_of(world, 1))
    assert result.status == "ok"
    assert server.requests[-1]["response_format"]["type"] == "json_schema"


@pytest.mark.parametrize("status", [400, 422, 500])
def test_a_server_that_fails_at_the_schema_is_asked_without_it(
    world: World, server: ScriptedServer, status: int
) -> None:
    def script(request: dict[str, Any], number: int) -> Reply:
        if request.get("response_format", {}).get("type") == "json_schema":
            return Reply("grammar rejected tokens; failed to compile json_schema", status)
        return Reply(label_json())

    server.script = script
    results = list(VlmLabeler(client_of(server), jobs=1).label(features_of(world, 3)))
    assert [r.status for r in results] == ["ok"] * 3
    forms = [r["response_format"]["type"] for r in server.requests]
    assert forms == ["json_schema"] + ["json_object"] * 3


def test_a_server_that_fails_without_a_word_is_asked_in_plainer_forms(world: World, server: ScriptedServer) -> None:
    server.script = lambda r, n: Reply("Internal Server Error", 500) if "response_format" in r else Reply(label_json())
    results = list(VlmLabeler(client_of(server), jobs=1).label(features_of(world, 3)))
    assert [r.status for r in results] == ["ok"] * 3
    assert ["response_format" in r for r in server.requests] == [True] * 3 + [False] * 3


def test_a_system_message_that_is_refused_is_told_by_the_user(world: World, server: ScriptedServer) -> None:
    def script(request: dict[str, Any], number: int) -> Reply:
        return (
            Reply("System role not supported", 400)
            if request["messages"][0]["role"] == "system"
            else Reply(label_json())
        )

    server.script = script
    results = list(VlmLabeler(client_of(server), jobs=1).label(features_of(world, 2)))
    assert [r.status for r in results] == ["ok"] * 2
    assert len(server.requests) == 3
    told, shown = (server.requests[n]["messages"] for n in (0, 1))
    assert shown[0]["content"] == [{"type": "text", "text": told[0]["content"]}, *told[1]["content"]]


def test_a_limit_of_the_answer_that_is_refused_is_left_out(world: World, server: ScriptedServer) -> None:
    server.script = lambda r, n: (
        Reply("max_tokens is too large: 700", 400) if "max_tokens" in r else Reply(label_json())
    )
    (result,) = VlmLabeler(client_of(server)).label(features_of(world, 1))
    assert result.status == "ok"
    assert "max_completion_tokens" not in server.requests[-1]


def test_a_request_that_is_refused_for_itself_does_not_change_the_form(world: World, server: ScriptedServer) -> None:
    bad: list[str] = []

    def script(request: dict[str, Any], number: int) -> Reply:
        picture = next(p["image_url"]["url"] for p in request["messages"][1]["content"] if p["type"] == "image_url")
        bad.extend([picture] if not bad else [])
        return Reply("no thanks", 400) if picture in bad else Reply(label_json())

    server.script = script
    results = list(VlmLabeler(client_of(server), jobs=1).label(features_of(world, 3)))
    assert [r.status for r in results] == ["failed", "ok", "ok"]
    assert results[0].error == "no thanks"
    forms = [r.get("response_format", {}).get("type") for r in server.requests]
    assert forms == ["json_schema", "json_object", None, "json_schema", "json_schema"]


def test_a_form_that_was_answered_is_kept() -> None:
    known = KnownForm(RequestForm(0.0))
    first = known.now
    known.took(first)
    plainer = known.after(first, SCHEMA, "no", 700)
    assert plainer is not None
    assert plainer.reply == "json_object"
    known.took(plainer)
    assert known.now == first
    assert known.after(first, (), "no", 700) is None
