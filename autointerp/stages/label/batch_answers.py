"""The results of a batch, read as calls for the ledger."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from autointerp.labeling.asking.answers import NoCompletion
from autointerp.labeling.asking.faults import Fault, FaultKind
from autointerp.labeling.asking.ledger import CallRecord
from autointerp.labeling.asking.prices import BATCH_SHARE
from autointerp.progress import Progress
from autointerp.stages.label.batch_api import BatchApi, GoneFromServer

if TYPE_CHECKING:
    from openai.types import Batch

    from autointerp.db.queries.batches import SubmittedBatch
    from autointerp.labeling.asking.chat import ChatClient

_NEVER_RUN = ("batch_expired", "batch_cancelled")
"""Codes of requests that were not worked on: they have no call."""


@dataclass(frozen=True)
class BatchResults:
    """What the requests of a batch came to.

    Attributes:
        calls: At most one for each request.
        faults: Why requests got no answer, by their hash.
    """

    calls: list[CallRecord]
    faults: dict[str, Fault] = field(default_factory=dict)


class BatchAnswers:
    """Reads results of batches.

    Args:
        api: Downloads the files of results.
        progress: Is told of lines that cannot be read.
    """

    def __init__(self, api: BatchApi, progress: Progress) -> None:
        self.api, self.progress = api, progress
        self.client: ChatClient = api.client

    def read(self, submitted: SubmittedBatch, batch: Batch) -> BatchResults:
        """Return the calls of a batch that is over, at most one for each of its requests.

        Of a batch that is completed, every request has a call, unless a file of its results is gone.
        """
        read: dict[str, CallRecord | Fault] = {}
        is_gone = False
        for file in (batch.output_file_id, batch.error_file_id):
            try:
                for key, found in self._lines(file, submitted) if file else ():
                    read.setdefault(key, found)
            except GoneFromServer as error:
                self.progress.note(f"the results {file} of batch {submitted.batch} are {error}")
                is_gone = True
        if batch.status == "completed" and not is_gone:
            for key in submitted.requests.keys() - read.keys():
                read[key] = Fault(FaultKind.REQUEST, "the batch holds no answer")
        faults = {key: found for key, found in read.items() if isinstance(found, Fault)}
        calls = [
            self._call(key, submitted, None, found.words) if isinstance(found, Fault) else found
            for key, found in read.items()
        ]
        return BatchResults(calls, faults)

    def _lines(self, file: str, submitted: SubmittedBatch) -> Iterator[tuple[str, CallRecord | Fault]]:
        """Yield the hash of each line, and its call or fault; a request that was never run has none."""
        for line in self.api.content(file).split(b"\n"):
            if not line.strip():
                continue
            try:
                found = json.loads(line)
                key, error = str(found["custom_id"]), found.get("error")
                if isinstance(error, dict) and error.get("code") in _NEVER_RUN:
                    continue
                if key in submitted.requests:
                    yield key, self._read(key, submitted, found.get("response"), error)
            except (ValueError, KeyError, TypeError, AttributeError):
                self.progress.note(f"a line of {file} cannot be read")

    def _read(self, key: str, submitted: SubmittedBatch, response: Any, error: Any) -> CallRecord | Fault:
        """Return the call of one line, from its parsed response or error; the fault where it holds no answer."""
        # Some servers leave the status out, or put the body into the line itself.
        whole = response if isinstance(response, dict) else {}
        body, status = whole.get("body", whole), _status(whole.get("status_code"))
        if not body and not error:
            return Fault(FaultKind.REQUEST, "no answer (in a batch)")
        server = self.client.server
        fault: Fault | None = None
        if status < 300 and body:
            try:
                found = server.read(body, self.client.longest)
                return self._call(key, submitted, found.text, found.problem, found.tokens)
            except NoCompletion as problem:
                fault = server.translated(problem).fault
        if error or fault is None:
            fault = server.fault(status, {"error": error} if error else body)
        return replace(fault, words=f"{fault.words} (in a batch)")

    def _call(
        self, key: str, submitted: SubmittedBatch, answer: str | None, error: str, tokens: tuple[int, int] = (0, 0)
    ) -> CallRecord:
        price = self.client.budget.price
        return CallRecord(
            request_hash=key,
            purpose=submitted.requests[key],
            model=self.client.model,
            answer=answer,
            error=error,
            input_tokens=tokens[0],
            output_tokens=tokens[1],
            cost=price.of(*tokens) * BATCH_SHARE if price and any(tokens) else None,
            latency_ms=0.0,
        )


def _status(given: Any) -> int:
    """Return the HTTP status of a line; 200 where it does not say."""
    return int(given) if str(given).isdecimal() else 200
