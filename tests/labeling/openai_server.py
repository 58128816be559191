"""A server of the OpenAI protocol that follows a script: what it answers, when it refuses, and what it was sent."""

from __future__ import annotations

import json
import threading
import time
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
    finish_reason: str = "stop"


Script = Callable[[dict[str, Any], int], Reply]
"""Takes the request's JSON and its number (from 0)."""


def thinking_model(need: int) -> Script:
    """A model that thinks: it takes no `max_tokens` and no temperature, and its answer needs so many tokens."""

    def script(request: dict[str, Any], number: int) -> Reply:
        if "max_tokens" in request:
            return Reply("Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead.", 400)
        if request.get("temperature") is not None:
            return Reply("'temperature' does not support 0.0 with this model.", 400)
        limit = request["max_completion_tokens"]
        if limit < need:
            return Reply("", usage=(1000, limit), finish_reason="length")
        return Reply(label_json(), usage=(1000, need))

    return script


def label_json(name: str = "red things", **more: Any) -> str:
    """A well-formed labeling reply."""
    reply = {"name": name, "explanation": f"Fires on {name}.", "interpretable": True, "confidence": 0.9, "parts": []}
    return json.dumps(reply | more)


def completion(reply: Reply, model: str) -> dict[str, Any]:
    """A reply as a chat completion."""
    message = {"role": "assistant", "content": reply.text or None, "refusal": reply.refusal}
    choice = {"index": 0, "finish_reason": reply.finish_reason, "message": message}
    found = {"id": "c1", "object": "chat.completion", "created": 0, "model": model, "choices": [choice]}
    if reply.usage:
        tokens = dict(zip(("prompt_tokens", "completion_tokens"), reply.usage, strict=True))
        found["usage"] = tokens | {"total_tokens": sum(reply.usage)}
    return found


class ScriptedBatches:
    """The endpoints of files and batches: a batch is over after some looks at it, by the server's own script."""

    def __init__(self, server: ScriptedServer) -> None:
        self.server = server
        self.files: dict[str, bytes] = {}
        self.made: dict[str, dict[str, Any]] = {}
        self.looks = 1
        """How often a batch is looked at before it is over."""
        self.ends = "completed"
        self.answers_of = 1.0
        """The share of lines that are run where it expires."""
        self.fault: Callable[[str], Reply | None] = lambda what: None
        """What goes wrong of `upload`, `create` (before it is made), `created` (after), `look` and `content`."""
        self._lock = threading.Lock()

    def lines(self, batch: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.files[self.made[batch]["input_file_id"]].splitlines()]

    def upload(self, data: bytes) -> Reply:
        if fault := self.fault("upload"):
            return fault
        boundary = data.split(b"\r\n", 1)[0]
        parts = [part for part in data.split(boundary) if b"filename=" in part]
        assert b'name="purpose"\r\n\r\nbatch' in data
        assert len(parts) == 1
        name = f"file-{len(self.files)}"
        self.files[name] = parts[0].split(b"\r\n\r\n", 1)[1].removesuffix(b"\r\n")
        return _raw({"id": name, "object": "file", "bytes": 1, "created_at": 0, "filename": "f", "purpose": "batch"})

    def create(self, request: dict[str, Any]) -> Reply:
        if fault := self.fault("create"):
            return fault
        assert request["endpoint"] == "/v1/chat/completions"
        assert request["completion_window"] == "24h"
        made: dict[str, Any] = {
            "id": f"batch_{len(self.made)}",
            "object": "batch",
            "created_at": int(time.time()),
            "looks": self.looks,
        }
        self.made[made["id"]] = made | request | {"status": "validating"}
        return self.fault("created") or _raw(self.made[made["id"]])

    def get(self, path: str) -> Reply:
        what, *rest = path.partition("?")[0].removeprefix("/v1/").split("/")
        if what == "files":
            if fault := self.fault("content"):
                return fault
            kept = self.files.get(rest[0])
            return Reply("No such File object", 404) if kept is None else Reply(raw=kept.decode())
        if not rest:
            newest = list(reversed(self.made.values()))
            return _raw({"object": "list", "data": newest, "has_more": False})
        if fault := self.fault("look"):
            return fault
        if rest[0] not in self.made:
            return Reply(f"No batch found with id '{rest[0]}'.", 404)
        with self._lock:
            batch = self.made[rest[0]]
            batch["looks"] -= 1
            if batch["looks"] < 0 and batch["status"] == "validating":
                self._end(batch)
            return _raw(batch)

    def _end(self, batch: dict[str, Any]) -> None:
        batch["status"] = self.ends
        if self.ends == "failed":
            batch["errors"] = {"object": "list", "data": [{"code": "x", "message": "the file is no good"}]}
            return
        lines, good, bad = self.lines(batch["id"]), list[Any](), list[Any]()
        for number, line in enumerate(lines):
            found: dict[str, Any] = {"id": f"r{number}", "custom_id": line["custom_id"], "error": None}
            if number >= self.answers_of * len(lines):
                found |= {"response": None, "error": {"code": "batch_expired", "message": "too late"}}
                bad.append(found)
                continue
            reply = self.server.script(line["body"], number)
            body = completion(reply, "m") if reply.status == 200 else {"error": {"message": reply.text}}
            found["response"] = {"status_code": reply.status, "request_id": "q", "body": body}
            (good if reply.status == 200 else bad).append(found)
        # In any order, as the API says.
        for key, rows in (("output_file_id", good[::-1]), ("error_file_id", bad)):
            if rows:
                batch[key] = f"{key}-{batch['id']}"
                self.files[batch[key]] = b"".join(json.dumps(row).encode() + b"\n" for row in rows)
        counts = {"total": len(lines), "completed": len(good), "failed": len(bad)}
        batch["request_counts"] = counts


def _raw(value: dict[str, Any]) -> Reply:
    return Reply(raw=json.dumps(value))


class ScriptedServer:
    """Answers `POST /v1/chat/completions` by its script; keeps every request, successes too."""

    def __init__(self) -> None:
        self.script: Script = lambda request, number: Reply(label_json())
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.batches = ScriptedBatches(self)
        self.running = self.most_running = 0
        self._lock = threading.Lock()
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args: Any) -> None:
                pass

            def do_POST(self) -> None:
                data = self.rfile.read(int(self.headers["content-length"]))
                if self.path == "/v1/files":
                    self._send(server.batches.upload(data), {})
                    return
                request = json.loads(data)
                if self.path == "/v1/batches":
                    self._send(server.batches.create(request), {})
                    return
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

            def do_GET(self) -> None:
                self._send(server.batches.get(self.path), {})

            def _send(self, reply: Reply, request: dict[str, Any]) -> None:
                if reply.raw is not None:
                    body = reply.raw
                elif reply.status != 200:
                    body = json.dumps({"error": {"message": reply.text, "type": "scripted", "code": None}})
                else:
                    body = json.dumps(completion(reply, request["model"]))
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
