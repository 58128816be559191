"""Why no response came: a certificate, a name, a proxy, a time-out, or a server that does not answer."""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Iterator
from importlib.util import find_spec
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from autointerp.addresses import OPENAI
from autointerp.errors import UsageError
from autointerp.labeling.asking.faults import Fault, FaultKind

_PROXIES = ("http", "https", "all")
_SOCKS = ("socks5", "socks5h")


def check_proxies() -> None:
    """Check that the HTTP client can use the proxies of the environment.

    Raises:
        UsageError: A proxy is of a kind that is not supported. Its address may hold a password and is not told.
    """
    found = getproxies()
    if "*" in [host.strip() for host in found.get("no", "").split(",")]:
        return
    for name in _PROXIES:
        scheme, there, _ = found.get(name, "").partition("://")
        if not there or scheme.lower() in ("http", "https"):
            continue
        variable = f"{name.upper()}_PROXY"
        if scheme.lower() not in _SOCKS:
            raise UsageError(
                f"{variable} names a proxy of a kind that is not supported: {scheme}",
                f"use http:// or unset {variable}",
            )
        if find_spec("socksio") is None:
            raise UsageError(
                f"{variable} names a SOCKS proxy, and the library for such proxies is missing",
                f"pip install socksio, or unset {variable}",
            )


def proxy_of(address: str) -> str:
    """Return HOST:PORT of the proxy that requests to an address go through; empty where there is none."""
    parts, found = urlsplit(address or OPENAI), getproxies()
    proxy = found.get(parts.scheme) or found.get("all")
    if not proxy or proxy_bypass(parts.netloc.rpartition("@")[2]):
        return ""
    return urlsplit(proxy if "://" in proxy else f"http://{proxy}").netloc.rpartition("@")[2]


def unreached(error: BaseException, address: str, timed_out: bool) -> Fault:
    """Return what an error of the HTTP client means, after which no response came.

    Args:
        error: The error; what caused it tells more.
        address: Address of the server.
        timed_out: Whether the server took a request and did not answer in time.
    """
    chain = list(_causes(error))
    words = " ".join(str(chain[-1]).split())[:200] or type(chain[-1]).__name__
    server, proxy = urlsplit(address or OPENAI), proxy_of(address)
    where = f"{server.scheme}://{server.netloc}" + (f" through the proxy {proxy}" if proxy else "")
    for cause in chain:
        if isinstance(cause, ssl.SSLError):
            return _of_certificate(cause, where)
        if isinstance(cause, socket.gaierror):
            host = proxy or server.hostname
            return Fault(
                FaultKind.SETUP,
                f"cannot reach {where}: no computer is known by the name {host} ({words})",
                "check --base-url, the network and the proxy" if proxy else "check --base-url and the network",
                # A name that was known before is known again when the network is back.
                sure=False,
            )
        if type(cause).__name__ == "ProxyError":
            return Fault(
                FaultKind.SETUP,
                f"the proxy {proxy} refuses: {words}",
                "correct HTTPS_PROXY, or name the server in NO_PROXY",
                sure=False,
            )
        if type(cause).__name__ in ("UnsupportedProtocol", "InvalidURL", "LocalProtocolError"):
            return Fault(
                FaultKind.SETUP, f"requests to {where} cannot be made: {words}", "check --base-url and the key"
            )
    if timed_out:
        return Fault(FaultKind.MOMENT, "timed out", slow=True)
    said = f"connection failed: {words}" + (f" (through the proxy {proxy})" if proxy else "")
    return Fault(FaultKind.MOMENT, said, "check --base-url and that the server runs", connection=True)


def _of_certificate(error: ssl.SSLError, where: str) -> Fault:
    """Return the fault of an encrypted connection that is not made."""
    if isinstance(error, ssl.SSLCertVerificationError):
        set_to = "SSL_CERT_FILE" if os.environ.get("SSL_CERT_FILE") else ""
        return Fault(
            FaultKind.SETUP,
            f"the certificate of {where} is not trusted: {error.verify_message or error.reason}",
            f"{set_to} is set: does that file hold its authority?"
            if set_to
            else "set SSL_CERT_FILE to a file that holds the certificate of its authority",
        )
    reason = (error.reason or str(error)).replace("_", " ").lower()
    if "wrong version" in reason or "record layer" in reason or "http request" in reason:
        return Fault(FaultKind.SETUP, f"{where} does not speak https ({reason})", "write http:// in --base-url")
    return Fault(FaultKind.MOMENT, f"connection failed: TLS: {reason}", "check --base-url", connection=True)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and what caused it, the innermost last."""
    seen: BaseException | None = error
    for _ in range(12):
        if seen is None:
            return
        yield seen
        seen = seen.__cause__ or seen.__context__
