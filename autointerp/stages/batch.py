"""Requests of a labeler or judge sent as batches of OpenAI's Batch API: at half the price, within a day.

Work is done as ever, but requests without a known answer are put aside, uploaded and submitted as batches; when these
are there, their answers go into the ledger, and the work is done again, now with answers. A batch is a row of `runs`
from before it is submitted until it is collected, so whatever stops the process, the next command collects it.
"""

from __future__ import annotations

import json
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, TypeVar

from sqlalchemy import select

from autointerp.db import queries
from autointerp.db.engine import Database
from autointerp.db.models import Call, Dictionary, Run
from autointerp.errors import AutointerpError, PartialFailure
from autointerp.labeling.attempts import Transient
from autointerp.labeling.limits import Held
from autointerp.labeling.prices import BATCH_SHARE
from autointerp.stages.context import Context, identity

if TYPE_CHECKING:
    from autointerp.labeling.chat import ChatClient

MOST_REQUESTS, MOST_BYTES = 50_000, 190 * 2**20
"""Of one batch; the API takes 50,000 requests and 200 MB."""
POLL_SECONDS = (5.0, 60.0)
"""Between two looks at a batch, at first and in the end."""
_A_DAY = 86_400
_OVER = ("completed", "failed", "expired", "cancelled")

Got = TypeVar("Got")


def under_way(db: Database, model: str, base_url: str) -> list[Run]:
    """Batches of this model that are submitted, or about to be, and not collected; detached, oldest first."""
    with db.session() as session:
        query = select(Run).where(Run.kind.in_(("label", "score")), Run.status == "running").order_by(Run.id)
        found = [run for run in session.scalars(query) if _is_of(run, model, base_url)]
        session.expunge_all()
    return found


def refuse_while_under_way(db: Database, client: ChatClient) -> None:
    """Raise where requests are under way in a batch: asked one by one now, they would be paid for twice."""
    found = under_way(db, client.model, client.base_url)
    if found:
        count = sum(run.total for run in found)
        raise AutointerpError(
            f"{count} requests to {client.model} are under way in a batch", "add --batch, which collects their answers"
        )


def _is_of(run: Run, model: str, base_url: str) -> bool:
    batch = run.config.get("batch")
    return batch is not None and (batch["model"], batch["base_url"]) == (model, base_url)


class _Aside:
    """Requests as lines of files, each no larger than a batch may be."""

    def __init__(self, folder: Path, failures: dict[str, str]) -> None:
        self.failures, self._folder, self._lock = failures, folder, threading.Lock()
        self.files: list[tuple[Path, dict[str, str]]] = []
        self.held: dict[str, Held] = {}
        self._open: BinaryIO | None = None
        self._bytes = 0

    def failed(self, request_hash: str) -> str:
        return self.failures.get(request_hash, "")

    def has(self, request_hash: str) -> bool:
        with self._lock:
            return request_hash in self.held

    def put(self, request_hash: str, purpose: str, payload: dict[str, Any], held: Held) -> None:
        line = {"custom_id": request_hash, "method": "POST", "url": "/v1/chat/completions", "body": payload}
        data = json.dumps(line, separators=(",", ":")).encode() + b"\n"
        with self._lock:
            full = self.files and len(self.files[-1][1]) >= MOST_REQUESTS
            if self._open is None or full or self._bytes + len(data) > MOST_BYTES:
                self.close()
                path = self._folder / f"requests-{len(self.files)}.jsonl"
                self.files.append((path, {}))
                self._open, self._bytes = path.open("wb"), 0
            self._open.write(data)
            self._bytes += len(data)
            self.files[-1][1][request_hash] = purpose
            self.held[request_hash] = held

    def close(self) -> None:
        if self._open is not None:
            self._open.close()
            self._open = None


class Batches:
    """The batches of one command."""

    def __init__(
        self,
        ctx: Context,
        dictionary: Dictionary,
        client: ChatClient,
        kind: Literal["label", "score"],
        sleep: Callable[[float], object] | None = None,
    ) -> None:
        """Take whose requests are put aside; `sleep` waits between two looks."""
        self.ctx, self.dictionary, self.client, self.kind = ctx, dictionary, client, kind
        self._sleep = sleep or time.sleep
        self._failures: dict[str, str] = {}
        self._held: dict[str, Held] = {}
        self._unfinished: list[str] = []

    def until_known(self, work: Callable[[], object]) -> None:
        """Do the work again and again, until all it asks for is known or has failed.

        Raises:
            PartialFailure: What the work itself raises of this kind, or a batch ended before it was done.
            AutointerpError: A batch was not accepted.
        """
        failures: list[PartialFailure] = []
        self.collect()
        while True:
            with (
                tempfile.TemporaryDirectory(prefix="autointerp-batch-") as folder,
                closing(_Aside(Path(folder), self._failures)) as aside,
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
                for path, requests in aside.files:
                    self._submit(path, requests)
            self.collect()
        if self._unfinished:
            raise PartialFailure("; ".join(self._unfinished), "run it again to send what is left")
        if failures:
            raise failures[0]

    def collect(self) -> None:
        """Wait for all batches that are under way, and keep their answers."""
        waiting = {run.id: run for run in under_way(self.ctx.db, self.client.model, self.client.base_url)}
        if not waiting:
            return
        total = sum(run.total for run in waiting.values())
        self.ctx.progress.note(
            f"{total} requests are in {len(waiting)} batches, which may take a day; "
            "Ctrl-C leaves them to be collected by the same command later"
        )
        refused: list[AutointerpError] = []
        counted: dict[int, int] = {}
        pause, longest = POLL_SECONDS
        with self.ctx.progress.task("batch", total, unit="request") as bar:
            while True:
                for run in list(waiting.values()):
                    batch = self._find(run)
                    counts = batch.request_counts
                    now = counts.completed + counts.failed if counts else 0
                    bar.advance(max(now - counted.get(run.id, 0), 0), batch.status)
                    counted[run.id] = max(now, counted.get(run.id, 0))
                    if batch.status in _OVER:
                        del waiting[run.id]
                        try:
                            self._take(run, batch)
                        except AutointerpError as error:
                            refused.append(error)
                if not waiting:
                    break
                self._sleep(pause)
                pause = min(2 * pause, longest)
        if refused:
            raise refused[0]

    def _submit(self, path: Path, requests: dict[str, str]) -> None:
        """Upload a file and make a batch of it; what may have been made is known before it is."""

        def upload() -> Any:
            with path.open("rb") as file:
                return self.client.api.files.create(file=(path.name, file), purpose="batch")

        uploaded = self._call(upload)
        config = {
            "batch": {"model": self.client.model, "base_url": self.client.base_url, "file": uploaded.id},
            "requests": requests,
        }
        run = Run(
            kind=self.kind,
            identity=identity(config),
            dictionary_id=self.dictionary.id,
            config=config,
            total=len(requests),
        )
        with self.ctx.db.session() as session:
            session.add(run)
        self._remember(run, self._create(run))

    def _find(self, run: Run) -> Any:
        """The batch of a run as it is now; one whose making was cut short is found, or made."""
        known = run.result.get("batch")
        if known is not None:
            return self._call(lambda: self.client.api.batches.retrieve(known))
        batch = self._call(lambda: self._made_of(run)) or self._create(run)
        self._remember(run, batch)
        return batch

    def _create(self, run: Run) -> Any:
        """Make a batch of an uploaded file, once: after an attempt that nobody knows the end of it is looked for."""
        file = run.config["batch"]["file"]
        asked = False

        def create() -> Any:
            nonlocal asked
            if asked and (made := self._made_of(run)) is not None:
                return made
            asked = True
            return self.client.api.batches.create(
                input_file_id=file, endpoint="/v1/chat/completions", completion_window="24h"
            )

        return self._call(create)

    def _made_of(self, run: Run) -> Any | None:
        """The batch that was made of a run's file, if one was."""
        started = run.started_at.replace(tzinfo=run.started_at.tzinfo or timezone.utc).timestamp()
        for batch in self.client.api.batches.list(limit=100):
            if batch.input_file_id == run.config["batch"]["file"]:
                return batch
            if batch.created_at < started - _A_DAY:
                break
        return None

    def _remember(self, run: Run, batch: Any) -> None:
        run.result = {"batch": batch.id}
        with self.ctx.db.session() as session:
            session.get(Run, run.id).result = run.result

    def _take(self, run: Run, batch: Any) -> None:
        """Keep the answers of a batch that is over, all in the transaction that says so."""
        requests: dict[str, str] = run.config["requests"]
        rows: dict[str, dict[str, Any]] = {}
        for file in (batch.output_file_id, batch.error_file_id):
            for key, row in self._lines(file) if file else ():
                if key in requests and key not in rows:
                    rows[key] = row
        answered = sum(row["answer"] is not None for row in rows.values())
        problem = ""
        if batch.status == "completed":
            for key in requests.keys() - rows.keys():
                rows[key] = self._row(None, "the batch holds no answer")
        elif batch.status == "failed":
            said = batch.errors.data if batch.errors and batch.errors.data else []
            problem = " ".join((said[0].message if said and said[0].message else "no reason given").split())[:300]
        else:
            problem = f"{batch.status} with {answered} of {len(requests)} answered"
        with self.ctx.db.session() as session:
            calls = [
                {"request_hash": key, "purpose": requests[key][:32], "model": self.client.model, **row}
                for key, row in rows.items()
            ]
            queries.insert_many(session, Call, calls)
            kept = session.get(Run, run.id)
            kept.status, kept.error = "failed" if problem else "done", problem
            kept.done, kept.finished_at = answered, datetime.now(timezone.utc)
        for key, row in rows.items():
            held = self._held.pop(key, None)
            if held is not None:
                tokens = (row["input_tokens"], row["output_tokens"])
                self.client.budget.settle(held, tokens, row["answer"] is not None, BATCH_SHARE)
            if row["answer"] is None:
                self._failures[key] = row["error"]
        if batch.status == "failed":
            raise AutointerpError(
                f"batch {batch.id} was not accepted: {problem}",
                "label fewer features at a time with -n, or without --batch",
            )
        if problem:
            self._unfinished.append(f"batch {batch.id} {problem}")

    def _lines(self, file: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """Each line of a result file: whose it is, and its row; a request that was never run has none."""
        content = self._call(lambda: self.client.api.files.content(file).content)
        for line in content.split(b"\n"):
            if not line.strip():
                continue
            try:
                found = json.loads(line)
                key, response, error = str(found["custom_id"]), found.get("response"), found.get("error")
                if error and error.get("code") in ("batch_expired", "batch_cancelled"):
                    continue
                yield key, self._read(response, error)
            except (ValueError, KeyError, TypeError, AttributeError):
                self.ctx.progress.note(f"a line of {file} cannot be read")

    def _read(self, response: dict[str, Any] | None, error: dict[str, Any] | None) -> dict[str, Any]:
        """The row of one line."""
        from openai.types.chat import ChatCompletion

        if response and response.get("status_code") == 200:
            try:
                text, problem, tokens = self.client.read(ChatCompletion.model_validate(response["body"]))
            except ValueError:
                return self._row(None, "unreadable response")
            return self._row(text, problem, tokens)
        said = error or (response or {}).get("body", {}).get("error") or {}
        text = self.client.hidden(" ".join(str(said.get("message") or said.get("code") or "no answer").split())[:300])
        return self._row(None, f"{text} (in a batch)")

    def _row(self, answer: str | None, error: str, tokens: tuple[int, int] = (0, 0)) -> dict[str, Any]:
        price = self.client.budget.price
        cost = price.of(*tokens) * BATCH_SHARE if price and any(tokens) else None
        counted = {"input_tokens": tokens[0], "output_tokens": tokens[1], "cost": cost, "latency_ms": 0.0}
        return {"answer": answer, "error": error, **counted}

    def _call(self, ask: Callable[[], Got]) -> Got:
        """Ask the API, again where that may help.

        Raises:
            AutointerpError: It does not do what is asked, or cannot be reached.
        """
        for attempt in range(self.client.options.attempts):
            if attempt:
                self._sleep(min(0.5 * 2**attempt, self.client.options.longest_wait))
            try:
                return ask()
            except Exception as error:
                found = self.client.translated(error)
                if isinstance(found, AutointerpError):
                    raise found from None
                if not isinstance(found, Transient):
                    raise AutointerpError(
                        f"the server takes no batch: {found}",
                        "is it one that has OpenAI's Batch API? else leave --batch out",
                    ) from None
                last = found
        raise AutointerpError(f"cannot reach the Batch API: {last}", "run it again to go on", retryable=True)
