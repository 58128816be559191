"""The guard: what every request must pass before a page sees it, and the headers that every answer carries.

A page on the internet can make a browser send requests to a server on this machine. Its requests bear a foreign `Host`
(DNS rebinding) or a foreign `Origin` (a cross-site POST), so both are checked. On another address than the loopback,
whoever reaches the port must show the token.
"""

from __future__ import annotations

import hmac
import ipaddress
import socket
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
AsgiApp = Callable[[Scope, Receive, Send], Awaitable[None]]

COOKIE = "autointerp_token"
SAFE_METHODS = ("GET", "HEAD")
UPLOADS = "/pictures"
"""The path whose requests may be long; it bounds them itself."""
MOST_BYTES = 2**18
"""Bytes that any other request may send."""
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    "frame-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors {frames}"
)
# A view may be embedded in pages of this machine, such as notebooks. What it embeds has no buttons that change things.
_FRAMES = "'self' http://localhost:* http://127.0.0.1:*"


@dataclass(frozen=True)
class Access:
    """Who may ask, and for what.

    Attributes:
        host: The address that the server is bound to.
        token: What a request must show; empty where the address is the loopback.
        read_only: No request may change anything.
    """

    host: str = "127.0.0.1"
    token: str = ""
    read_only: bool = False

    def knows_host(self, header: str) -> bool:
        """Return whether a `Host` header names this server: the loopback, its own name, or an address in digits.

        An address in digits cannot be rebound, because no name is looked up.
        """
        try:
            parts = urlsplit(f"//{header}")
            name, _ = parts.hostname, parts.port
        except ValueError:
            return False
        if not name or parts.username is not None or parts.path or parts.query or parts.fragment:
            return False
        if name in _LOOPBACK:
            return True
        if is_loopback(self.host):
            return False
        return name in (self.host.lower(), socket.gethostname().lower()) or _is_address(name)

    def shows_token(self, headers: dict[str, str]) -> bool:
        """Return whether a request shows the token, in its cookie or as `Authorization: Bearer`."""
        if not self.token:
            return True
        cookie: SimpleCookie = SimpleCookie()
        try:
            cookie.load(headers.get("cookie", ""))
        except CookieError:
            cookie = SimpleCookie()
        given = [cookie[COOKIE].value] if COOKIE in cookie else []
        scheme, _, bearer = headers.get("authorization", "").partition(" ")
        given += [bearer.strip()] if scheme.lower() == "bearer" else []
        return any(self.is_token(one) for one in given)

    def is_token(self, given: str) -> bool:
        """Return whether this is the token, in a time that does not depend on where the two differ."""
        return hmac.compare_digest(given.encode("utf-8", "replace"), self.token.encode())


def is_loopback(host: str) -> bool:
    """Return whether an address can be reached from this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


class Guard:
    """The outermost part of the application: refuses a request, or passes it on.

    Args:
        app: What answers the requests that pass.
        access: Who may ask, and for what.
    """

    def __init__(self, app: AsgiApp, access: Access) -> None:
        self.app, self.access = app, access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        hosts = [value for name, value in scope["headers"] if name.lower() == b"host"]
        query = dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True))
        if len(hosts) != 1 or not self.access.knows_host(headers.get("host", "")):
            await _refuse(send, 400, "This server does not answer to that host name. Open the address that it printed.")
            return
        if (reason := self._foreign(scope["method"], headers)) is not None:
            await _refuse(send, 403, reason)
            return
        if self.access.token and self.access.is_token(query.get("token", "")) and scope["method"] in SAFE_METHODS:
            await self._welcome(scope, send)
            return
        if not self.access.shows_token(headers):
            await _refuse(send, 401, "This view needs its token. Open the link that `autointerp serve` printed.")
            return
        if self.access.read_only and scope["method"] not in SAFE_METHODS:
            await _refuse(send, 403, "This view is read-only: it was started with --read-only.")
            return
        if scope["method"] not in SAFE_METHODS and scope["path"] != UPLOADS:
            body = await _body(receive)
            if body is None:
                await _refuse(send, 413, "This request is too long.")
                return
            receive = _again(body, receive)
        await self.app(scope, receive, _with_headers(send, "embed" in query))

    def _foreign(self, method: str, headers: dict[str, str]) -> str | None:
        """Return why a request comes from a page of another site; None where it does not."""
        origin = headers.get("origin")
        if origin is not None and not _same_place(origin, headers["host"]):
            return "This request comes from a page of another site."
        if method not in SAFE_METHODS and origin is None:
            return "This request does not say which page it comes from (Origin)."
        site, mode = headers.get("sec-fetch-site", ""), headers.get("sec-fetch-mode", "")
        if site == "cross-site" and mode != "navigate":
            return "This request comes from a page of another site."
        return None

    async def _welcome(self, scope: Scope, send: Send) -> None:
        """Keep the token in a cookie, and send the browser to the same page without the token in its address."""
        pairs = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        left = urlencode([pair for pair in pairs if pair[0] != "token"])
        # A path of two slashes would lead to another host.
        place = "/" + quote(scope["path"].lstrip("/"), safe="/:@") + (f"?{left}" if left else "")
        cookie = f"{COOKIE}={self.access.token}; Path=/; HttpOnly; SameSite=Strict"
        headers = [(b"location", place.encode()), (b"set-cookie", cookie.encode()), (b"cache-control", b"no-store")]
        await send({"type": "http.response.start", "status": 303, "headers": headers})
        await send({"type": "http.response.body", "body": b""})


async def _body(receive: Receive) -> bytes | None:
    """Return the body of a request; None as soon as it is too long."""
    parts, size, goes_on = [], 0, True
    while goes_on:
        message = await receive()
        if message["type"] != "http.request":
            break
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > MOST_BYTES:
            return None
        goes_on = message.get("more_body", False)
    return b"".join(parts)


def _again(body: bytes, receive: Receive) -> Receive:
    """Return what hands a body out that was read already, and then what comes after it."""
    left = [body]

    async def receiving() -> MutableMapping[str, Any]:
        if left:
            return {"type": "http.request", "body": left.pop(), "more_body": False}
        return await receive()

    return receiving


def _same_place(origin: str, host: str) -> bool:
    """Return whether an `Origin` is a page of the server that the `Host` names."""
    parts = urlsplit(origin)
    return parts.scheme in ("http", "https") and parts.netloc.lower() == host.lower()


def _headers(embeds: bool) -> list[tuple[bytes, bytes]]:
    """Return the headers of every answer."""
    return [
        (b"content-security-policy", _POLICY.format(frames=_FRAMES if embeds else "'none'").encode()),
        (b"x-content-type-options", b"nosniff"),
        (b"referrer-policy", b"same-origin"),
        (b"cross-origin-resource-policy", b"same-origin"),
        (b"cross-origin-opener-policy", b"same-origin"),
    ]


def _with_headers(send: Send, embeds: bool) -> Send:
    async def sending(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            own = list(message.get("headers", []))
            given = {name.lower() for name, _ in own}
            # A page may bring a policy of its own, such as that of a report, in which nothing runs at all.
            usual = [(b"cache-control", b"no-store"), *_headers(embeds)]
            message = {**message, "headers": [*own, *(pair for pair in usual if pair[0] not in given)]}
        await send(message)

    return sending


async def _refuse(send: Send, status: int, text: str) -> None:
    """Answer with one line."""
    body = f"{text}\n".encode()
    headers = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
        *_headers(False),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
