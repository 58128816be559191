"""The endpoints of OpenAI's Batch API: files uploaded, batches made once, results read."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from autointerp.errors import AutointerpError
from autointerp.labeling.asking.faults import FaultKind
from autointerp.stages.label.request_files import ENDPOINT

if TYPE_CHECKING:
    from openai.types import Batch

    from autointerp.db.queries.batches import SubmittedBatch
    from autointerp.labeling.asking.chat import ChatClient

_DAY_SECONDS = 86_400
_GONE = (404, 410)
"""Statuses of a batch, or of a file of results, that the server does not know any more."""

Result = TypeVar("Result")


class GoneFromServer(AutointerpError):
    """A batch or a file of its results that the server does not know any more."""


class NeverMade(AutointerpError):
    """The server refuses to make a batch of an uploaded file, so nothing of it was asked or paid."""


class BatchApi:
    """One server's Batch API. Every request is repeated where that may help.

    Args:
        client: The client of the model that the batches ask.
        sleep: Waits for some seconds between two attempts.
    """

    def __init__(self, client: ChatClient, sleep: Callable[[float], object]) -> None:
        self.client, self._sleep = client, sleep

    def upload(self, path: Path) -> str:
        """Upload a file of requests; return the server's id of it."""

        def create() -> str:
            with path.open("rb") as file:
                uploaded: str = self.client.server.api.files.create(file=(path.name, file), purpose="batch").id
            return uploaded

        return self.call(create)

    def create(self, submitted: SubmittedBatch) -> Batch:
        """Make a batch of an uploaded file, once.

        An attempt may fail after the server made the batch. Every later attempt therefore looks for the batch first.

        Raises:
            NeverMade: The server refuses, at once or after it had not made the batch before.
        """
        has_asked = False

        def create() -> Batch:
            nonlocal has_asked
            if has_asked and (made := self._made_of(submitted.file, submitted.submitted_at)) is not None:
                return made
            has_asked = True
            created: Batch = self.client.server.api.batches.create(
                input_file_id=submitted.file, endpoint=ENDPOINT, completion_window="24h"
            )
            return created

        try:
            return self.call(create)
        except AutointerpError as error:
            if error.retryable:
                raise
            raise NeverMade(error.message, error.hint) from None

    def find(self, submitted: SubmittedBatch) -> Batch:
        """Return a batch as it is now. A batch whose making was cut short is found, or made.

        Raises:
            GoneFromServer: The server does not know the batch.
            NeverMade: The batch was not made, and the server refuses to make it.
        """
        known = submitted.batch
        if known is not None:
            found: Batch = self.call(lambda: _kept(lambda: self.client.server.api.batches.retrieve(known)))
            return found
        made = self.call(lambda: self._made_of(submitted.file, submitted.submitted_at))
        return made or self.create(submitted)

    def content(self, file: str) -> bytes:
        """Return the content of a file of results.

        Raises:
            GoneFromServer: The server does not know the file.
        """
        found: bytes = self.call(lambda: _kept(lambda: self.client.server.api.files.content(file).content))
        return found

    def _made_of(self, file: str, submitted_at: datetime) -> Batch | None:
        """Return the batch that was made of a file, if there is one among those since the day before."""
        batch: Batch
        for batch in self.client.server.api.batches.list(limit=100):
            if batch.input_file_id == file:
                return batch
            if batch.created_at < submitted_at.timestamp() - _DAY_SECONDS:
                break
        return None

    def call(self, ask: Callable[[], Result]) -> Result:
        """Ask the API, again where that may help.

        Raises:
            GoneFromServer: `ask` raised it.
            AutointerpError: The server refuses, or cannot be reached.
        """
        for attempt in range(self.client.options.attempts):
            if attempt:
                self._sleep(min(0.5 * 2**attempt, self.client.options.longest_wait))
            try:
                return ask()
            except GoneFromServer:
                raise
            except Exception as error:
                fault = self.client.server.translated(error).fault
                if fault.kind is FaultKind.SETUP and fault.status:
                    raise fault.as_error() from None
                # Without a response, such as a name that is not known now, nothing is said of the batch.
                if fault.kind is not FaultKind.MOMENT and fault.status:
                    raise AutointerpError(
                        f"the server takes no batch: {fault.words}",
                        "is it one that has OpenAI's Batch API? else leave --batch out",
                    ) from None
                last = fault.words
        raise AutointerpError(f"cannot reach the Batch API: {last}", "run it again to go on", retryable=True)


def _kept(ask: Callable[[], Result]) -> Result:
    """Ask for something that the server once had.

    Raises:
        GoneFromServer: The server does not know it.
    """
    try:
        return ask()
    except Exception as error:
        status = getattr(error, "status_code", None)
        if status in _GONE:
            raise GoneFromServer(f"gone from the server ({status})") from None
        raise
