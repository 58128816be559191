"""The guard, asked as ASGI servers ask: who gets through, and what every answer carries."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from autointerp.web.guard import COOKIE, MOST_BYTES, Access, Guard, is_loopback

TOKEN = "a-token-of-the-test"


async def inner(scope: Any, receive: Any, send: Any) -> None:
    got = (await receive())["body"] if scope["method"] == "POST" else b""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": b"inside" + got})


def ask(
    access: Access,
    method: str = "GET",
    path: str = "/",
    query: str = "",
    headers: Any = (("host", "127.0.0.1:8765"),),
    parts: tuple[bytes, ...] = (b"",),
) -> tuple[int, dict[str, str], str]:
    sent: list[Any] = []
    left = list(parts)

    async def receive() -> Any:
        return {"type": "http.request", "body": left.pop(0), "more_body": bool(left)}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "query_string": query.encode(),
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in headers],
    }
    asyncio.run(Guard(inner, access)(scope, receive, send))
    got = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], got, b"".join(one["body"] for one in sent[1:]).decode()


HERE = ("host", "127.0.0.1:8765")
LOCAL = Access()


@pytest.mark.parametrize("host", ["127.0.0.1:8765", "localhost:8765", "localhost", "[::1]:8765", "LOCALHOST:1"])
def test_names_of_this_machine_pass(host: str) -> None:
    assert ask(LOCAL, headers=[("host", host)])[2] == "inside"


@pytest.mark.parametrize(
    "host",
    [
        *("evil.example", "evil.example:8765", "127.0.0.1.evil.example", "localhost.evil.example", "192.168.0.7:8765"),
        *(
            "",
            "evil@localhost",
            "localhost:port",
            "localhost/evil",
            "localhost:8765@evil.example",
            "[::1",
            "0.0.0.0:8765",
        ),
    ],
)
def test_a_foreign_host_is_refused(host: str) -> None:
    status, headers, body = ask(LOCAL, headers=[("host", host)])
    assert (status, body.count("\n")) == (400, 1)
    assert "inside" not in body
    assert "content-security-policy" in headers


def test_no_host_and_two_hosts_are_refused() -> None:
    assert ask(LOCAL, headers=[])[0] == 400
    assert ask(LOCAL, headers=[HERE, ("host", "evil.example")])[0] == 400


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "http://127.0.0.1:9999", "null", "http://127.0.0.1:8765.evil.example", "file://"]
)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_a_foreign_origin_is_refused(origin: str, method: str) -> None:
    assert ask(LOCAL, method, headers=[HERE, ("origin", origin)])[0] == 403


def test_what_changes_something_says_where_it_comes_from() -> None:
    assert ask(LOCAL, "POST", headers=[HERE])[0] == 403
    assert ask(LOCAL, "POST", headers=[HERE, ("origin", "http://127.0.0.1:8765")])[0] == 200
    # What one name loads may not be sent to another one.
    assert ask(LOCAL, "POST", headers=[HERE, ("origin", "http://localhost:8765")])[0] == 403


def test_pictures_are_not_loaded_into_pages_of_other_sites() -> None:
    cross = ("sec-fetch-site", "cross-site")
    assert ask(LOCAL, headers=[HERE, cross, ("sec-fetch-mode", "no-cors")])[0] == 403
    assert ask(LOCAL, headers=[HERE, cross, ("sec-fetch-mode", "navigate")])[0] == 200


SHARED = Access("0.0.0.0", TOKEN)
THERE = ("host", "192.168.0.7:8765")


def test_without_the_token_nothing_is_answered() -> None:
    refused = [
        [THERE],
        [THERE, ("cookie", f"{COOKIE}=wrong")],
        [THERE, ("cookie", f"{COOKIE}=")],
        [THERE, ("cookie", f"other={TOKEN}")],
        [THERE, ("cookie", "\x00;;=")],
        [THERE, ("authorization", "Bearer wrong")],
        [THERE, ("authorization", f"Basic {TOKEN}")],
        [THERE, ("cookie", f"{COOKIE}=\u00e9")],
    ]
    for headers in refused:
        status, _, body = ask(SHARED, headers=headers)
        assert (status, "inside" in body, TOKEN in body) == (401, False, False), headers
    assert ask(SHARED, query="token=wrong", headers=[THERE])[0] == 401
    assert ask(SHARED, query=f"token={TOKEN[:-1]}", headers=[THERE])[0] == 401
    assert ask(SHARED, "POST", query=f"token={TOKEN}", headers=[THERE, ("origin", "http://192.168.0.7:8765")])[0] == 401
    assert ask(SHARED, headers=[("host", "evil.example")])[0] == 400


def test_the_token_passes_in_a_cookie_and_as_a_bearer() -> None:
    assert ask(SHARED, headers=[THERE, ("cookie", f"a=b; {COOKIE}={TOKEN}")])[2] == "inside"
    assert ask(SHARED, headers=[THERE, ("authorization", f"Bearer {TOKEN}")])[2] == "inside"


def test_the_link_leaves_a_cookie_and_no_token_in_the_address() -> None:
    status, headers, body = ask(SHARED, path="/feature/a:1", query=f"sort=doubt&token={TOKEN}", headers=[THERE])
    assert (status, headers["location"], body) == (303, "/feature/a:1?sort=doubt", "")
    cookie = headers["set-cookie"]
    assert cookie.startswith(f"{COOKIE}={TOKEN}; ")
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(cookie.split("; "))
    for path in ("//evil.example", "/\\evil.example", "/a\r\nset-cookie: x=1"):
        place = ask(SHARED, path=path, query=f"token={TOKEN}", headers=[THERE])[1]["location"]
        assert place.startswith("/")
        assert not place.startswith(("//", "/\\"))
        assert "\n" not in place


def test_read_only_refuses_what_changes_something() -> None:
    access = Access(read_only=True)
    status, _, body = ask(access, "POST", headers=[HERE, ("origin", "http://127.0.0.1:8765")])
    assert (status, "read-only" in body) == (403, True)
    assert ask(access)[0] == 200


def test_every_answer_forbids_foreign_and_inline_scripts() -> None:
    for headers in (ask(LOCAL)[1], ask(LOCAL, headers=[])[1]):
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert "://" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"
    embedded = ask(LOCAL, query="embed")[1]["content-security-policy"]
    assert "frame-ancestors 'self' http://localhost:*" in embedded


def test_loopback() -> None:
    assert [is_loopback(host) for host in ("127.0.0.1", "127.3.0.1", "::1", "localhost")] == [True] * 4
    assert [is_loopback(host) for host in ("0.0.0.0", "::", "192.168.0.7", "example.org", "")] == [False] * 5


def test_only_a_picture_may_be_long() -> None:
    own = [HERE, ("origin", "http://127.0.0.1:8765")]
    assert ask(LOCAL, "POST", "/api/labels", headers=own, parts=(b"a", b"b"))[2] == "insideab"
    taken = (b"x" * (MOST_BYTES // 2),) * 2
    assert ask(LOCAL, "POST", "/api/labels", headers=own, parts=taken)[0] == 200
    # Of the parts that follow, none is read.
    assert ask(LOCAL, "POST", "/api/labels", headers=own, parts=(*taken, b"x", b"y"))[0] == 413
    assert ask(LOCAL, "POST", "/pictures", headers=own, parts=(*taken, b"x"))[0] == 200
