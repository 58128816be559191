"""A server of the OpenAI protocol that follows a script: what it answers, when it refuses, and what it was sent."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Reply:
    """One scripted reply: an HTTP status, text (of the completion, or of the error), headers."""

    text: str = ""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    raw: str | None = None
    """Sent as the whole body instead of a completion."""
    drop: bool = False
    """Close the connection without a word."""
    usage: tuple[int, int] | None = (1000, 50)
    refusal: str | None = None


Script = Callable[[dict[str, Any], int], Reply]
"""Takes the request's JSON and its number (from 0)."""


def label_json(name: str = "red things", **more: Any) -> str:
    """A well-formed labeling reply."""
    reply = {"name": name, "explanation": f"Fires on {name}.", "interpretable": True, "confidence": 0.9, "parts": []}
    return json.dumps(reply | more)


class ScriptedServer:
    """Answers `POST /v1/chat/completions` by its script; keeps every request, successes too."""

    def __init__(self) -> None:
        self.script: Script = lambda request, number: Reply(label_json())
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.running = self.most_running = 0
        self._lock = threading.Lock()
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args: Any) -> None:
                pass

            def do_POST(self) -> None:
                request = json.loads(self.rfile.read(int(self.headers["content-length"])))
                with server._lock:
                    number = len(server.requests)
                    server.requests.append(request)
                    server.headers.append({k.lower(): v for k, v in self.headers.items()})
                    server.running += 1
                    server.most_running = max(server.most_running, server.running)
                try:
                    if self.path != "/v1/chat/completions":
                        reply = Reply("no such path", 404)
                    else:
                        reply = server.script(request, number)
                finally:
                    with server._lock:
                        server.running -= 1
                if reply.drop:
                    self.close_connection = True
                    return
                self._send(reply, request)

            def _send(self, reply: Reply, request: dict[str, Any]) -> None:
                if reply.raw is not None:
                    body = reply.raw
                elif reply.status != 200:
                    body = json.dumps({"error": {"message": reply.text, "type": "scripted", "code": None}})
                else:
                    message = {"role": "assistant", "content": reply.text or None, "refusal": reply.refusal}
                    completion = {
                        "id": "c1",
                        "object": "chat.completion",
                        "created": 0,
                        "model": request["model"],
                        "choices": [{"index": 0, "finish_reason": "stop", "message": message}],
                    }
                    if reply.usage:
                        tokens = dict(zip(("prompt_tokens", "completion_tokens"), reply.usage, strict=True))
                        completion["usage"] = tokens | {"total_tokens": sum(reply.usage)}
                    body = json.dumps(completion)
                data = body.encode()
                self.send_response(reply.status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(data)))
                for key, value in reply.headers.items():
                    self.send_header(key, value)
                self.end_headers()
                self.wfile.write(data)

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}/v1"

    def __enter__(self) -> ScriptedServer:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def images(self, number: int) -> list[str]:
        """The image data URIs of a request."""
        parts = [p for m in self.requests[number]["messages"] if isinstance(m["content"], list) for p in m["content"]]
        return [p["image_url"]["url"] for p in parts if p["type"] == "image_url"]
