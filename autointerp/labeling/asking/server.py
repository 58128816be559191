"""A model at a Chat Completions server: its address and key, and the HTTP client. No text that leaves holds the key."""

from __future__ import annotations

import os
import threading
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl, urlsplit, urlunsplit

from autointerp.addresses import OPENAI, parse_address
from autointerp.errors import AutointerpError, UsageError
from autointerp.labeling.asking.answers import ServerAnswer, read_answer
from autointerp.labeling.asking.attempts import translate
from autointerp.labeling.asking.bodies import parse_body
from autointerp.labeling.asking.faults import Fault, ServerFault, read_fault
from autointerp.labeling.asking.keys import SHORTEST, find_key, hide
from autointerp.labeling.asking.reaching import check_proxies


def address_of_environment() -> str:
    """Return the address in `OPENAI_BASE_URL`, which OpenAI's own library obeys; empty where it is OpenAI's or not set.

    Raises:
        UsageError: It is no address, or holds a secret.
    """
    return parse_address(os.environ.get("OPENAI_BASE_URL", ""), "OPENAI_BASE_URL")


class ChatServer:
    """A model at a server. Many threads may send requests."""

    def __init__(self, model: str, base_url: str, key: str, timeout: float) -> None:
        """Prepare to send.

        Args:
            model: Name of the model at the server.
            base_url: Address of the server; empty for OpenAI's.
            key: The key; empty for a server without one.
            timeout: Seconds to wait for an answer.
        """
        self.model, self.base_url = model, base_url
        self._key, self._timeout = key, timeout
        self._lock = threading.Lock()
        self._openai: Any = None

    @classmethod
    def find(cls, model: str, base_url: str, api_key_env: str, timeout: float) -> ChatServer:
        """Return the server with the key of an environment variable; its address gets its one spelling.

        Raises:
            NotAvailable: There is no key where one is needed.
            UsageError: The address is none or holds a secret, the variable is none, or a proxy cannot be used.
        """
        address = parse_address(base_url)
        key = find_key(api_key_env, needed=not address)
        if key and len(key) >= SHORTEST and key in base_url:
            raise UsageError("--base-url holds the key, which would be stored", "leave it out of the address")
        check_proxies()
        return cls(model, address, key, timeout)

    @property
    def api(self) -> Any:
        """The HTTP client, made on first use.

        Raises:
            AutointerpError: It cannot be made, because of what the environment says of certificates or proxies.
        """
        with self._lock:
            if self._openai is None:
                self._openai = self._make()
            return self._openai

    def _make(self) -> Any:
        """Return a new HTTP client, which asks this server whatever the environment says."""
        import openai

        parts = urlsplit(self.base_url or OPENAI)
        try:
            client = openai.OpenAI(
                api_key=self._key or "none",
                # Without an address the client would take that of OPENAI_BASE_URL.
                base_url=urlunsplit(parts._replace(query="")),
                default_query=dict(parse_qsl(parts.query)),
                max_retries=0,
                timeout=self._timeout,
            )
        except Exception as error:
            raise AutointerpError(
                f"the HTTP client cannot be made: {hide(' '.join(str(error).split())[:200], self._key)}",
                "check the variables SSL_CERT_FILE, SSL_CERT_DIR, HTTPS_PROXY and ALL_PROXY",
            ) from None
        if self.base_url:
            # OPENAI_ORG_ID and OPENAI_PROJECT_ID are of an account at OpenAI: no other server is told them.
            client.organization = client.project = None
        return client

    def send(self, payload: dict[str, Any]) -> Any:
        """Return the body of the response to one HTTP request, as parsed JSON.

        Raises:
            NoCompletion: The body is no JSON.
        """
        # Post by hand: `chat.completions.create` transforms every part of a message, which takes longer than sending.
        # Take the body as it is: the models of the client lose what they do not know.
        options = {"headers": {"X-Stainless-Raw-Response": "true"}}
        response = self.api.post("/chat/completions", body=payload, cast_to=object, options=options)
        return parse_body(response.http_response.content)

    def read(self, body: Any, longest: int = 0) -> ServerAnswer:
        """Return the answer in a body, of a response or of a line of a batch; see `read_answer`.

        Raises:
            NoCompletion: The body holds neither an answer nor counted tokens.
        """
        found = read_answer(body, longest)
        return replace(found, problem=self.hidden(found.problem))

    def translated(self, error: Exception) -> ServerFault:
        """Return the fault that an error of `api`, `send` or `read` means."""
        return translate(error, self.model, self.base_url, self._key)

    def fault(self, status: int, body: Any) -> Fault:
        """Return what an error in a line of a batch means.

        Args:
            status: Its HTTP status; 200 where the line does not say.
            body: The parsed body that holds the error.
        """
        return self.translated(ServerFault(read_fault(status, body, None, self.model))).fault

    def hidden(self, text: str) -> str:
        """Return what is said of an error without the key."""
        return hide(text, self._key)
