"""A server of Chat Completions in a process of its own: it answers after a while, or fails in one of many ways.

`Server` starts it and asks what it counted. It knows a request by the bytes of its body, and counts an answer when it
is sent, whoever is still there to take it.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import multiprocessing
import random
import re
import time
import urllib.request
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

FAULTS = (
    "429",
    "429 at a time",
    "500",
    "503",
    "dropped",
    "slow",
    "empty",
    "refusal",
    "garbage",
    "schema",
    "truncated",
)
"""A rate limit without and with Retry-After, server errors, a dropped connection, a time-out; and completions that hold
nothing, a refusal, no JSON, JSON of another form, and JSON that is cut off."""
PAID = ("empty", "refusal", "garbage", "schema", "truncated")
"""Faults that are completions all the same."""
_PICTURES = re.compile(rb'"image_url":')


@dataclass
class Behaviour:
    """How the server answers: seconds until an answer, share of faults, seconds of one that is too slow."""

    latency: float = 0.0
    faults: float = 0.0
    slow: float = 10.0
    seed: int = 0


@dataclass
class _Counts:
    completions: int = 0
    most_running: int = 0
    running: int = 0
    first: float = 0.0
    last: float = 0.0
    answered: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)


def _completion(text: str, refusal: str | None = None, ended: str = "stop") -> bytes:
    message = {"role": "assistant", "content": text, "refusal": refusal}
    choice = {"index": 0, "finish_reason": ended, "message": message}
    usage = {"prompt_tokens": 1000, "completion_tokens": 50, "total_tokens": 1050}
    found = {"id": "c", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice], "usage": usage}
    return json.dumps(found).encode()


def _reply(body: bytes) -> str:
    """What is right to answer: a label, or as many verdicts as there are pictures."""
    if b'"answers"' in body:
        return json.dumps({"answers": [True] * len(_PICTURES.findall(body))})
    named = hashlib.sha256(body).hexdigest()[:6]
    label = {"parts": [], "name": f"thing {named}", "explanation": "A thing.", "interpretable": True, "confidence": 0.5}
    return json.dumps(label)


class _Chat:
    def __init__(self, behaviour: Behaviour) -> None:
        self.behaviour, self.counts = behaviour, _Counts()
        self.random = random.Random(behaviour.seed)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = re.search(rb"content-length: *(\d+)", head, re.IGNORECASE)
                body = await reader.readexactly(int(length[1])) if length else b""
                if head.startswith(b"GET"):
                    found = self.counts.__dict__ | {"faults": dict(self.counts.faults)}
                    await self._send(writer, 200, json.dumps(found).encode())
                elif not await self._chat(writer, body):
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _chat(self, writer: asyncio.StreamWriter, body: bytes) -> bool:
        """Answer one request; False where the connection is to be closed."""
        counts, how = self.counts, self.behaviour
        counts.first = counts.first or time.time()
        counts.running += 1
        counts.most_running = max(counts.most_running, counts.running)
        try:
            fault = self.random.choice(FAULTS) if self.random.random() < how.faults else ""
            await asyncio.sleep(how.slow if fault == "slow" else how.latency)
        finally:
            counts.running -= 1
        if fault:
            counts.faults[fault] += 1
        if fault == "dropped" or fault == "slow":
            return False
        if fault.startswith("429"):
            wait = {"retry-after": "0.2"} if fault.endswith("time") else {}
            await self._send(writer, 429, _error("too many requests"), wait)
        elif fault in ("500", "503"):
            await self._send(writer, int(fault), _error(f"scripted {fault}"))
        else:
            counts.completions += 1
            counts.answered[hashlib.sha256(body).hexdigest()] += 1
            counts.last = time.time()
            await self._send(writer, 200, self._said(fault, body))
        return True

    def _said(self, fault: str, body: bytes) -> bytes:
        right = _reply(body)
        if fault == "refusal":
            return _completion("", "I cannot help with that")
        if fault == "truncated":
            return _completion(right[: len(right) // 2], ended="length")
        return _completion({"empty": "", "garbage": "Let me think.", "schema": '{"title": 3}'}.get(fault, right))

    async def _send(
        self, writer: asyncio.StreamWriter, status: int, body: bytes, headers: dict[str, str] | None = None
    ) -> None:
        given = {"content-type": "application/json", "content-length": str(len(body)), **(headers or {})}
        lines = [f"HTTP/1.1 {status} X", *(f"{name}: {value}" for name, value in given.items()), "", ""]
        writer.write("\r\n".join(lines).encode() + body)
        await writer.drain()


def _error(text: str) -> bytes:
    return json.dumps({"error": {"message": text, "type": "scripted", "code": None}}).encode()


def _run(behaviour: Behaviour, port: Any) -> None:
    async def main() -> None:
        server = await asyncio.start_server(_Chat(behaviour).serve, "127.0.0.1", 0, limit=2**26)
        port.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(main())


class Server:
    """A running server; `with` ends it."""

    def __init__(self, behaviour: Behaviour) -> None:
        """Start it; returns when it answers."""
        ours, theirs = multiprocessing.Pipe()
        # Not forked: what measures has threads, and memory that is not the server's.
        self._process = multiprocessing.get_context("spawn").Process(target=_run, args=(behaviour, theirs), daemon=True)
        self._process.start()
        self.address = f"http://127.0.0.1:{ours.recv()}"
        self.base_url = f"{self.address}/v1"

    def counts(self) -> dict[str, Any]:
        """What it counted so far."""
        with urllib.request.urlopen(self.address) as response:
            return dict(json.load(response))

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *exc: object) -> None:
        self._process.terminate()
        self._process.join()
