"""Batches of OpenAI's Batch API: the requests of a labeler or judge at half the price, within a day.

The work is done as ever, but requests without a known answer are put aside, uploaded and submitted as batches. When
the batches are over, their answers go into the ledger, and the work is done again, now with answers. A batch is a row
of `runs` from before it is submitted until it is collected. The next command therefore collects it, whatever stopped
the process.
"""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from autointerp.db import DatabaseBusy, DatabaseError, queries
from autointerp.db.engine import Database
from autointerp.db.models import DictionaryRow, Run
from autointerp.db.queries.batches import BatchKind, SubmittedBatch
from autointerp.errors import AutointerpError, PartialFailure
from autointerp.labeling.asking.faults import Fault, FaultKind
from autointerp.labeling.asking.prices import BATCH_SHARE
from autointerp.project.context import Context, identity
from autointerp.stages.label.batch_answers import BatchAnswers
from autointerp.stages.label.batch_api import BatchApi, GoneFromServer, NeverMade
from autointerp.stages.label.request_files import RequestFile, RequestFiles

if TYPE_CHECKING:
    from openai.types import Batch

    from autointerp.labeling.asking.chat import ChatClient
    from autointerp.labeling.asking.limits import Reservation
    from autointerp.progress import Task

POLL_SECONDS = (5.0, 60.0)
"""Between two looks at a batch, at first and in the end."""
_UNDER_WAY = ("validating", "in_progress", "finalizing", "cancelling", "created", "queued", "pending", "running")
"""Statuses of a batch that is not over. Any other is an end, also of servers that have statuses of their own."""
_ROUNDS = 3
"""Batches that one command sends a request in, where the server fails by a fault of the moment."""
LOST_AFTER = timedelta(days=30)
"""Age after which no server has the results of a batch any more."""


def check_not_under_way(db: Database, client: ChatClient) -> None:
    """Check that no requests to a model are in a batch: asked one by one now, they would be paid for twice.

    Batches that are too old to be answered are closed.

    Raises:
        AutointerpError: Some are.
    """
    with db.session() as session:
        found = []
        for batch in queries.batches.under_way(session, client.model, client.base_url):
            if _is_lost(batch):
                queries.batches.finish(session, batch.run_id, 0, _TOO_OLD)
            else:
                found.append(batch)
    if found:
        count = sum(len(batch.requests) for batch in found)
        raise AutointerpError(
            f"{count} requests to {client.model} are under way in a batch", "add --batch, which collects their answers"
        )


class Batches:
    """The batches of one command.

    Args:
        ctx: The command's view of the workspace.
        dictionary: The dictionary whose features are labeled or scored.
        client: The client whose requests are put aside.
        kind: The stage that asks.
        sleep: Waits for some seconds between two looks at a batch; `time.sleep` by default.
    """

    def __init__(
        self,
        ctx: Context,
        dictionary: DictionaryRow,
        client: ChatClient,
        kind: BatchKind,
        sleep: Callable[[float], object] | None = None,
    ) -> None:
        self.ctx, self.dictionary, self.client, self.kind = ctx, dictionary, client, kind
        self._sleep = sleep or time.sleep
        self._api = BatchApi(client, self._sleep)
        self._answers = BatchAnswers(self._api, ctx.progress)
        self._failures: dict[str, str] = {}
        self._tried: Counter[str] = Counter()
        self._held: dict[str, Reservation] = {}
        self._unfinished: list[str] = []

    def until_known(self, work: Callable[[], object]) -> None:
        """Do the work again and again, until the answer to every request is known or has failed.

        Raises:
            PartialFailure: The work itself raised one, or a batch ended before it was done.
            AutointerpError: A batch was not accepted, or its requests failed by a fault of the setup.
        """
        failures: list[PartialFailure] = []
        self.collect()
        while True:
            with (
                tempfile.TemporaryDirectory(prefix="autointerp-batch-") as folder,
                closing(RequestFiles(Path(folder), self._failures)) as aside,
            ):
                try:
                    with self.client.putting_aside(aside):
                        work()
                except PartialFailure as error:
                    failures.append(error)
                aside.close()
                if not aside.files or self._unfinished:
                    break
                self._held.update(aside.held)
                for file in aside.files:
                    self._submit(file)
            self.collect()
        if self._unfinished:
            raise PartialFailure("; ".join(self._unfinished), "run it again to send what is left")
        if failures:
            raise failures[0]

    def collect(self) -> None:
        """Wait for all batches that are under way, and store their answers.

        Raises:
            AutointerpError: A batch was not accepted, or its requests failed by a fault of the setup.
        """
        with self.ctx.db.session() as session:
            waiting = queries.batches.under_way(session, self.client.model, self.client.base_url)
        if not waiting:
            return
        total = sum(len(submitted.requests) for submitted in waiting)
        self.ctx.progress.note(
            f"{total} requests are in {len(waiting)} batches, which may take a day; "
            "Ctrl-C leaves them to be collected by the same command later"
        )
        with self.ctx.progress.task("batch", total, unit="request") as bar:
            refusals = self._wait_for(waiting, bar)
        if refusals:
            raise refusals[0]

    def _wait_for(self, waiting: list[SubmittedBatch], bar: Task) -> list[AutointerpError]:
        """Look at batches until all are over; return the errors of those that were not accepted."""
        refusals: list[AutointerpError] = []
        counted: dict[int, int] = {}
        pause, longest = POLL_SECONDS
        while True:
            still = []
            for submitted in waiting:
                try:
                    batch = self._found(submitted)
                except NeverMade as error:
                    self._close(submitted, f"was never made: {error.message}")
                    refusals.append(error)
                    continue
                if batch is None:
                    continue
                if submitted.batch is None:
                    submitted = self._name(submitted, batch)
                counts = batch.request_counts
                now = counts.completed + counts.failed if counts else 0
                before = counted.get(submitted.run_id, 0)
                bar.advance(max(now - before, 0), batch.status)
                counted[submitted.run_id] = max(now, before)
                if batch.status in _UNDER_WAY:
                    still.append(submitted)
                    continue
                try:
                    self._store(submitted, batch)
                except DatabaseError:
                    raise
                except AutointerpError as error:
                    refusals.append(error)
            if not still:
                return refusals
            waiting = still
            self._sleep(pause)
            pause = min(2 * pause, longest)

    def _found(self, submitted: SubmittedBatch) -> Batch | None:
        """Return a batch as it is now; a batch that is gone, or too old to be there, is closed."""
        if _is_lost(submitted):
            self._close(submitted, _TOO_OLD)
            return None
        try:
            return self._api.find(submitted)
        except GoneFromServer as error:
            self._close(submitted, f"is {error.message}")
            return None

    def _close(self, submitted: SubmittedBatch, problem: str) -> None:
        """Close a batch without answers. Its requests are asked again by the next command."""
        with self.ctx.db.session() as session:
            queries.batches.finish(session, submitted.run_id, 0, problem)
        self._release(submitted)
        self._unfinished.append(
            f"batch {submitted.batch or submitted.file} {problem}; it is closed, and its "
            f"{len(submitted.requests)} requests can be asked again"
        )

    def _release(self, submitted: SubmittedBatch) -> None:
        """Give back what the budget holds for requests that got no call."""
        for key in submitted.requests:
            held = self._held.pop(key, None)
            if held is not None:
                self.client.budget.settle(held, (0, 0), False, BATCH_SHARE)

    def _submit(self, file: RequestFile) -> None:
        """Upload a file and make a batch of it. The batch is stored before it is made, so that it is never lost."""
        uploaded = self._api.upload(file.path)
        config = {
            "batch": {"model": self.client.model, "base_url": self.client.base_url, "file": uploaded},
            "requests": file.purposes,
        }
        run = Run(
            kind=self.kind,
            identity=identity(config),
            dictionary_id=self.dictionary.id,
            config=config,
            total=len(file.purposes),
        )
        with self.ctx.db.session() as session:
            submitted = queries.batches.add(session, run)
        try:
            made = self._api.create(submitted)
        except NeverMade as error:
            with self.ctx.db.session() as session:
                queries.batches.finish(session, submitted.run_id, 0, f"was never made: {error.message}")
            raise
        self._name(submitted, made)

    def _name(self, submitted: SubmittedBatch, batch: Batch) -> SubmittedBatch:
        """Store which batch was made of a file; from then on it is looked at by its own name."""
        with self.ctx.db.session() as session:
            queries.batches.name(session, submitted.run_id, batch.id)
        return replace(submitted, batch=batch.id)

    def _store(self, submitted: SubmittedBatch, batch: Batch) -> None:
        """Store the answers of a batch that is over, in the transaction that marks it as collected.

        Raises:
            AutointerpError: The batch was not accepted, or its requests failed by a fault of the setup.
        """
        results = self._answers.read(submitted, batch)
        calls = results.calls
        answered = sum(call.answer is not None for call in calls)
        problem = _problem_of(batch, answered, len(submitted.requests))
        if not problem and len(calls) < len(submitted.requests):
            problem = f"lost results at the server: {len(calls)} of {len(submitted.requests)} are there"
        while True:
            try:
                with self.ctx.db.session() as session:
                    queries.calls.record(session, calls)
                    queries.batches.finish(session, submitted.run_id, answered, problem)
                break
            except DatabaseBusy as error:
                self.ctx.progress.note(f"{answered} answers that are paid for wait to be recorded: {error.message}")
                self._sleep(POLL_SECONDS[0])
        for call in calls:
            held = self._held.pop(call.request_hash, None)
            if held is not None:
                tokens = (call.input_tokens, call.output_tokens)
                self.client.budget.settle(held, tokens, call.answer is not None, BATCH_SHARE)
        self._release(submitted)
        if batch.status == "failed":
            raise AutointerpError(
                f"batch {batch.id} was not accepted: {problem}",
                "label fewer features at a time with -n, or without --batch",
            )
        if problem:
            self._unfinished.append(f"batch {batch.id} {problem}")
        self._follow(results.faults, answered)

    def _follow(self, faults: Mapping[str, Fault], answered: int) -> None:
        """Do what follows from the faults of a batch's requests, by their kinds.

        A request fails, is asked again in a later batch, or is asked in a plainer form.

        Args:
            faults: Why requests got no answer, by their hash.
            answered: Requests of the same batch that were answered.

        Raises:
            AutointerpError: A fault is of the setup, so that no request would succeed.
        """
        forms = [fault for fault in faults.values() if fault.parts]
        has_other_form = bool(forms) and self.client.leave_out(forms)
        for key, fault in faults.items():
            if fault.parts and has_other_form:
                continue
            if fault.kind is FaultKind.SETUP and (fault.sure or not answered):
                raise fault.as_error()
            self._tried[key] += 1
            if fault.kind is not FaultKind.MOMENT or self._tried[key] >= _ROUNDS:
                self._failures[key] = fault.words


_TOO_OLD = f"is more than {LOST_AFTER.days} days old, and no server keeps it"


def _is_lost(submitted: SubmittedBatch) -> bool:
    """Return whether a batch is too old to be answered."""
    at = submitted.submitted_at
    return datetime.now(timezone.utc) - (at if at.tzinfo else at.replace(tzinfo=timezone.utc)) > LOST_AFTER


def _problem_of(batch: Batch, answered: int, requests: int) -> str:
    """Return why not all requests of a batch were worked on; empty if they were."""
    if batch.status == "completed":
        return ""
    if batch.status != "failed":
        return f"{batch.status} with {answered} of {requests} answered"
    faults = batch.errors.data if batch.errors and batch.errors.data else []
    message = faults[0].message if faults else None
    return " ".join((message or "no reason given").split())[:300]
