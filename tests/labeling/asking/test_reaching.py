from __future__ import annotations

import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from autointerp.errors import AutointerpError, UsageError
from autointerp.labeling.asking.chat import ChatClient, ChatOptions
from autointerp.labeling.asking.faults import FaultKind
from autointerp.labeling.asking.reaching import check_proxies, proxy_of, unreached

from ..clients import Sleeps
from ..openai_server import ScriptedServer


@pytest.fixture(autouse=True)
def _bare(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


def asked(address: str, sleeps: Sleeps) -> AutointerpError:
    client = ChatClient("m", address, options=ChatOptions(timeout=5), sleep=sleeps, clock=sleeps.clock)
    with pytest.raises(AutointerpError) as caught:
        client.ask([{"role": "user", "content": "?"}], {}, "label")
    return caught.value


@contextmanager
def tls_server(folder: Path) -> Iterator[int]:
    """A server whose certificate no authority has signed."""
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    subprocess.run([*make, "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            try:
                context.wrap_socket(connection, server_side=True).close()
            except OSError:
                connection.close()

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield listening.getsockname()[1]
    finally:
        listening.close()


def test_a_certificate_that_is_not_trusted_is_named_at_once(tmp_path: Path) -> None:
    sleeps = Sleeps()
    with tls_server(tmp_path) as port:
        error = asked(f"https://127.0.0.1:{port}/v1", sleeps)
    assert "certificate" in error.message
    assert "self-signed" in error.message.replace("self signed", "self-signed")
    assert "SSL_CERT_FILE" in error.hint
    assert not sleeps


def test_https_to_a_server_without_it_says_so(server: ScriptedServer) -> None:
    error = asked(server.base_url.replace("http://", "https://"), Sleeps())
    assert "does not speak https" in error.message
    assert "http://" in error.hint


def test_a_name_that_nobody_has_is_named() -> None:
    sleeps = Sleeps()
    error = asked("http://no-such-computer.invalid/v1", sleeps)
    assert "no computer is known by the name no-such-computer.invalid" in error.message
    assert not sleeps


def test_a_name_that_was_known_is_waited_for_no_longer_than_the_request() -> None:
    cause = socket.gaierror(-3, "Temporary failure in name resolution")
    fault = unreached(cause, "http://host/v1", False)
    assert (fault.kind, fault.sure) == (FaultKind.SETUP, False)


def test_a_proxy_that_does_not_answer_is_named_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://me:secret-word@127.0.0.1:9")
    error = asked("http://host.invalid/v1", Sleeps())
    assert "through the proxy 127.0.0.1:9" in error.message
    assert "secret-word" not in str(error)


def test_nothing_at_the_address_is_waited_for() -> None:
    sleeps = Sleeps()
    error = asked("http://127.0.0.1:9/v1", sleeps)
    assert "cannot reach http://127.0.0.1:9/v1: connection failed" in error.message
    assert "refused" in error.message.lower()
    assert error.retryable
    assert sleeps


@pytest.mark.parametrize(
    ("value", "said"),
    [("socks5://h:1", "SOCKS"), ("socks5h://h:1", "SOCKS"), ("socks4://h:1", "kind"), ("ftp://h", "kind")],
)
@pytest.mark.parametrize("name", ["ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY", "all_proxy"])
def test_proxies_that_cannot_be_used_are_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str
) -> None:
    monkeypatch.setattr("autointerp.labeling.asking.reaching.find_spec", lambda module: None)
    monkeypatch.setenv(name, value)
    with pytest.raises(UsageError, match=f"{name.upper()} names a .*{said}"):
        check_proxies()


@pytest.mark.parametrize("value", ["http://h:3128", "h:3128", "https://h:3128", ""])
def test_proxies_of_http_pass(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("ALL_PROXY", value)
    check_proxies()


def test_which_proxy_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    assert proxy_of("http://host/v1") == ""
    monkeypatch.setenv("ALL_PROXY", "h:3128")
    monkeypatch.setenv("NO_PROXY", "localhost,127.0.0.1")
    assert proxy_of("http://host/v1") == "h:3128"
    assert proxy_of("") == "h:3128"
    assert proxy_of("http://127.0.0.1:8000/v1") == ""
