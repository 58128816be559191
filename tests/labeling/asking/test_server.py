from __future__ import annotations

import json
import traceback
from typing import Any

import pytest

from autointerp.errors import AutointerpError, UsageError
from autointerp.labeling.asking.chat import ChatClient, ChatOptions
from autointerp.labeling.asking.faults import FaultKind
from autointerp.labeling.asking.ledger import MemoryLedger
from autointerp.labeling.asking.server import ChatServer
from autointerp.labeling.labelers.feature_messages import VlmOptions
from autointerp.labeling.labelers.vlm import VlmLabeler

from ..clients import MODEL, Sleeps, features_of
from ..conftest import World
from ..openai_server import Reply, ScriptedServer, label_json


@pytest.fixture(autouse=True)
def _no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


ONE = VlmOptions(crops=1, context=False)


KEY = "sk-very-secret-9"


def test_key_is_sent_and_never_told(world: World, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", "sk-secret-123")
    server.script = lambda request, number: Reply("bad thing near sk-secret-123", 500)
    ledger = MemoryLedger()
    client = ChatClient(MODEL, server.base_url, "MY_KEY", ledger, ChatOptions(attempts=1), Sleeps())
    (result,) = VlmLabeler(client).label(features_of(world, 1))
    assert server.headers[0]["authorization"] == "Bearer sk-secret-123"
    assert "secret" not in result.error + ledger.calls[0].error
    assert "bad thing" in result.error


def test_a_key_is_needed_without_base_url(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(AutointerpError, match="MY_KEY"):
        ChatClient(MODEL, "", "MY_KEY")


def test_a_key_that_a_server_repeats_in_an_error_is_told_to_nobody(
    world: World, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_KEY", KEY)

    def script(request: dict[str, Any], number: int) -> Reply:
        seen = server.headers[number]["authorization"]
        assert KEY in seen
        return [
            Reply(f"you sent {seen}", 500),
            Reply("", refusal=f"not for {seen}"),
            Reply(label_json()),
            Reply(f"bad {seen}", 400),
            Reply(raw=json.dumps({"error": {"message": f"cannot read {seen}", "code": 400}})),
        ][min(number, 4)]

    server.script = script
    ledger = MemoryLedger()
    client = ChatClient("m", server.base_url, "MY_KEY", ledger, ChatOptions(), Sleeps())
    results = list(VlmLabeler(client, ONE, jobs=1).label(features_of(world, 4)))
    assert [r.status for r in results] == ["failed", "ok", "failed", "failed"]
    assert "bad Bearer ***" in results[2].error
    assert "cannot read Bearer ***" in results[3].error
    assert KEY not in repr(results) + repr(ledger.calls)
    server.script = lambda r, n: Reply(f"no such key {KEY}", 401)
    with pytest.raises(AutointerpError) as caught:
        list(VlmLabeler(client, ONE, jobs=1).label(features_of(world, 9)[8:]))
    assert KEY not in "".join(traceback.format_exception(caught.value))


def test_a_key_that_is_a_word_is_not_looked_for_in_answers(
    world: World, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_KEY", "red")
    server.script = lambda r, n: Reply(label_json("red circle")) if n == 0 else Reply("a red bad thing", 400)
    client = ChatClient("m", server.base_url, "MY_KEY", MemoryLedger(), ChatOptions(), Sleeps())
    named, failed = VlmLabeler(client, ONE, jobs=1).label(features_of(world, 2))
    assert named.name == "red circle"
    assert failed.error == "a red bad thing"


def test_a_key_is_sent_without_blanks_around_it(server: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", f" {KEY}\r\n")
    ChatClient("m", server.base_url, "MY_KEY").ask([{"role": "user", "content": "?"}], {}, "label")
    assert server.headers[0]["authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("http://me:secret-word@localhost:1/v1", "a user or a password"),
        ("http://secret-word@localhost:1/v1", "a user or a password"),
        ("http://localhost:1/v1?key=secret-word", "a secret"),
        ("http://localhost:1/v1/secret-word", "holds the key"),
    ],
)
def test_a_secret_in_the_address_is_refused_and_not_shown(
    monkeypatch: pytest.MonkeyPatch, address: str, said: str
) -> None:
    monkeypatch.setenv("MY_KEY", "secret-word")
    with pytest.raises(UsageError, match=said) as caught:
        ChatClient("m", address, "MY_KEY")
    assert "secret-word" not in str(caught.value)


def test_the_environment_does_not_send_requests_elsewhere(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("OPENAI_ORG_ID", "org-1")
    client = ChatClient("m")
    assert (client.base_url, str(client.server.api.base_url)) == ("", "https://api.openai.com/v1/")
    assert client.server.api.organization == "org-1"
    other = ChatClient("m", server.base_url)
    other.ask([{"role": "user", "content": "?"}], {}, "label")
    assert "openai-organization" not in server.headers[0]


def test_a_version_in_the_address_is_sent_with_each_request(server: ScriptedServer) -> None:
    client = ChatClient("m", f"{server.base_url}/?api-version=2024-10-21", "NO_KEY")
    assert client.base_url == f"{server.base_url}?api-version=2024-10-21"
    assert str(client.server.api.base_url) == f"{server.base_url}/"
    assert client.server.api.default_query == {"api-version": "2024-10-21"}


def test_a_library_that_is_missing_for_a_proxy_is_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks5://me:secret-word@127.0.0.1:9")
    monkeypatch.setattr("autointerp.labeling.asking.reaching.find_spec", lambda name: None)
    with pytest.raises(UsageError, match="ALL_PROXY names a SOCKS proxy.*pip install socksio") as caught:
        ChatClient("m", "http://localhost:1/v1", "NO_KEY")
    assert "secret-word" not in str(caught.value)


def test_a_file_of_certificates_that_is_missing_is_one_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/there/is/none.pem")
    client = ChatClient("m", "https://localhost:1/v1", "NO_KEY", sleep=Sleeps())
    with pytest.raises(AutointerpError, match="SSL_CERT_FILE"):
        client.ask([{"role": "user", "content": "?"}], {}, "label")


def test_an_error_of_a_line_of_a_batch_is_told_as_one_of_a_response() -> None:
    server = ChatServer("m", "", KEY, 1)
    fault = server.fault(400, {"error": {"code": "content_filter", "message": f"filtered {KEY}"}})
    assert (fault.kind, fault.words) == (FaultKind.REQUEST, "filtered ***")
    assert server.fault(200, {"error": {"code": 401, "message": "no"}}).kind is FaultKind.SETUP
