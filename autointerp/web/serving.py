"""Serving a site: the port, the token, the line that tells where to look, and the end by Ctrl-C."""

from __future__ import annotations

import ctypes
import errno
import secrets
import socket
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from autointerp.db import DatabaseError
from autointerp.errors import AutointerpError, UsageError
from autointerp.web.guard import Access, is_loopback
from autointerp.web.links import DEFAULT_HOST, DEFAULT_PORT

if TYPE_CHECKING:
    from autointerp.project.context import Context
    from autointerp.web.site import ViewSite

_M_ARENA_MAX = -8
"""What glibc calls the bound on heaps that threads have of their own."""


@dataclass(frozen=True)
class ServeRequest:
    """Where to serve, and whether pages may change anything. Port 0 takes a free one."""

    host: str = DEFAULT_HOST
    port: int = DEFAULT_PORT
    read_only: bool = False


def serve(ctx: Context, request: ServeRequest, say: Callable[[str], None]) -> None:
    """Serve a workspace until Ctrl-C.

    Args:
        ctx: The workspace.
        request: Where, and what may be changed.
        say: Receives the address, once, when the server is about to answer.

    Raises:
        UsageError: The host is no address of this machine.
        AutointerpError: The port is taken, the extra is not installed, or the database cannot be opened.
    """
    uvicorn = _uvicorn()
    from autointerp.web.app import make_app
    from autointerp.web.site import ViewSite

    bound = bind(request.host, request.port)
    _share_heaps()
    token = "" if is_loopback(request.host) else secrets.token_urlsafe(32)
    with bound:
        site = ViewSite(ctx, Access(request.host, token, request.read_only))
        # The first list would wait for it: some seconds with a hundred thousand features.
        threading.Thread(target=_warm, args=(site,), daemon=True).start()
        say(address(request.host, bound.getsockname()[1], token))
        config = uvicorn.Config(
            make_app(site), log_level="critical", access_log=False, lifespan="off", timeout_graceful_shutdown=2
        )
        try:
            uvicorn.Server(config).run(sockets=[bound])
        except KeyboardInterrupt:
            # The way in which a view ends.
            return
        finally:
            site.close()


def _share_heaps() -> None:
    """Let all threads share two heaps, where the C library is glibc.

    Requests run in many threads. With a heap for each, what one has freed is of no use to the others.
    """
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 2)


def _warm(site: ViewSite) -> None:
    """Read the list of features. A fault is told by the first page that needs the list."""
    with suppress(DatabaseError):
        _ = site.catalog


def address(host: str, port: int, token: str = "") -> str:
    """Return the address that a browser opens.

    >>> address("0.0.0.0", 8765, "abc").endswith(":8765/?token=abc")
    True
    >>> address("::1", 8765)
    'http://[::1]:8765/'
    """
    name = socket.gethostname() if host in ("0.0.0.0", "::", "") else host
    return f"http://{f'[{name}]' if ':' in name else name}:{port}/" + (f"?token={token}" if token else "")


def bind(host: str, port: int) -> socket.socket:
    """Return a socket that is bound to an address, and listens.

    Raises:
        UsageError: The host is no address of this machine, or the port needs more rights.
        AutointerpError: The port is taken.
    """
    try:
        family, kind, _, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    except (OSError, UnicodeError):
        raise UsageError(f"{host!r} is no address of this machine", "leave --host out, or give 0.0.0.0") from None
    bound = socket.socket(family, kind)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(place)
        bound.listen(128)
    except OSError as error:
        bound.close()
        if error.errno == errno.EADDRINUSE:
            free = "name another one with --port, or --port 0 for a free one"
            raise AutointerpError(f"port {port} is taken", free) from None
        if error.errno in (errno.EACCES, errno.EPERM):
            raise UsageError(f"port {port} needs more rights", "name one above 1023") from None
        raise UsageError(f"{host} is no address of this machine", "leave --host out, or give 0.0.0.0") from None
    return bound


def _uvicorn():  # type: ignore[no-untyped-def]  # a module, which the extra brings
    try:
        import fastapi  # noqa: F401
        import uvicorn
    except ModuleNotFoundError:
        raise AutointerpError("the browser view is not installed", "pip install 'autointerp[web]'") from None
    return uvicorn
