"""Requests put aside as lines of upload files, each file no larger than a batch may be."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from typing_extensions import override

from autointerp.labeling.asking.batch_queue import BatchQueue
from autointerp.labeling.asking.limits import Reservation

MOST_REQUESTS, MOST_BYTES = 50_000, 190 * 2**20
"""Of one batch. The API takes 50,000 requests and 200 MB."""
ENDPOINT = "/v1/chat/completions"


@dataclass
class RequestFile:
    """One file, and the purpose of each request in it by the request's hash."""

    path: Path
    purposes: dict[str, str] = field(default_factory=dict)


class RequestFiles(BatchQueue):
    """The requests of one pass of the work that have no known answer.

    Args:
        folder: An empty folder for the files.
        failures: Why requests of batches that are over got no answer, by request hash.
    """

    def __init__(self, folder: Path, failures: Mapping[str, str]) -> None:
        self.files: list[RequestFile] = []
        self.held: dict[str, Reservation] = {}
        self._folder, self._failures = folder, failures
        self._lock = threading.Lock()
        self._open: BinaryIO | None = None
        self._bytes = 0

    @override
    def failed(self, request_hash: str) -> str:
        """Return why an earlier batch got no answer to a request; empty if none failed."""
        return self._failures.get(request_hash, "")

    @override
    def has(self, request_hash: str) -> bool:
        """Return whether a request was put aside."""
        with self._lock:
            return request_hash in self.held

    @override
    def put(self, request_hash: str, purpose: str, payload: dict[str, Any], held: Reservation) -> None:
        """Write a request, and remember what the budget holds for its price."""
        line = {"custom_id": request_hash, "method": "POST", "url": ENDPOINT, "body": payload}
        data = json.dumps(line, separators=(",", ":")).encode() + b"\n"
        with self._lock:
            file = self._file_for(len(data))
            file.write(data)
            self._bytes += len(data)
            self.files[-1].purposes[request_hash] = purpose
            self.held[request_hash] = held

    def _file_for(self, size: int) -> BinaryIO:
        """Return the open file, or a new one where another line of `size` bytes does not fit."""
        full = self.files and len(self.files[-1].purposes) >= MOST_REQUESTS
        if self._open is None or full or self._bytes + size > MOST_BYTES:
            self.close()
            path = self._folder / f"requests-{len(self.files)}.jsonl"
            self.files.append(RequestFile(path))
            self._open, self._bytes = path.open("wb"), 0
        return self._open

    def close(self) -> None:
        """Close the open file; all files are then complete."""
        if self._open is not None:
            self._open.close()
            self._open = None
