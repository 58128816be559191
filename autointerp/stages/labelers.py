"""Which labeler a command means, made ready to work, and the ledger its calls go to."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, func, select, update

from autointerp.db import queries
from autointerp.db.engine import Database
from autointerp.db.models import Call
from autointerp.errors import NotAvailable, UsageError, nearest
from autointerp.labeling.judge import CONTROLS, ControlJudge, VlmJudge
from autointerp.labeling.protocol import CallRecord, Judge, KnownAnswer, Labeler
from autointerp.stages.context import Context, identity

if TYPE_CHECKING:
    from autointerp.labeling.chat import ChatClient
    from autointerp.labeling.questions import Question

LABELERS = ("clip", "prompts", "vlm")
JUDGES = ("vlm", *CONTROLS)


@dataclass(frozen=True)
class LabelerRequest:
    """Who should name, as asked on the command line; None means what the settings say."""

    kind: str | None = None
    model: str | None = None
    base_url: str | None = None
    api_key_env: str | None = None
    jobs: int = 4
    max_calls: int | None = None
    max_cost: float | None = None
    judge: str | None = None
    """Who judges; None is `vlm`."""
    batch: bool = False
    """Whether a remote model is asked in batches, at half the price."""
    ask_again: bool = False
    """Whether answers that came to nothing do not count: what failed on one would fail on it for ever."""


_ANSWERS = (
    select(Call.answer, Call.error)
    .where(Call.request_hash == bindparam("request"), Call.answer.is_not(None))
    .where((Call.error == "") | (Call.id > bindparam("after")))
    .order_by(Call.id.desc())
    .limit(1)
)
"""Made once: to make it takes longer than to ask it."""


class DatabaseLedger:
    """The `calls` table as the ledger: an attempt is committed before it is spoken of, an answer is never paid twice.

    Threads that record at the same time share a commit: one writes all that gathered while the one before it wrote.
    With `afresh` an answer that came to nothing counts only if it comes from now on.
    """

    def __init__(self, db: Database, afresh: bool = False) -> None:
        self.db, self._after = db, 0
        self._lock, self._writing = threading.Lock(), False
        self._gathered: list[tuple[Sequence[CallRecord], Future[bool]]] = []
        if afresh:
            with db.session() as session:
                self._after = session.scalar(select(func.max(Call.id))) or 0

    def find(self, request_hash: str) -> KnownAnswer | None:
        """The newest answer of an earlier call with this request, if one came."""
        with self.db.engine.connect() as connection:
            row = connection.execute(_ANSWERS, {"request": request_hash, "after": self._after}).first()
            return None if row is None else KnownAnswer(row.answer or "", row.error)

    def record(self, calls: Sequence[CallRecord]) -> None:
        """Keep some attempts; returns when they are on the disk."""
        to_write: Future[bool] = Future()
        with self._lock:
            self._gathered.append((calls, to_write))
            if not self._writing:
                self._writing = True
                to_write.set_result(True)
        # Who is told so writes for all who wait; the others hear that it was done.
        if not to_write.result():
            return
        with self._lock:
            written, self._gathered = self._gathered, []
        problem: BaseException | None = None
        try:
            with self.db.session() as session:
                rows = [asdict(call) | {"purpose": call.purpose[:32]} for some, _ in written for call in some]
                queries.insert_many(session, Call, rows)
        except BaseException as error:
            problem = error
            raise
        finally:
            for _, waiting in written:
                if waiting is not to_write:
                    waiting.set_result(False) if problem is None else waiting.set_exception(problem)
            with self._lock:
                if self._gathered:
                    self._gathered[0][1].set_result(True)
                else:
                    self._writing = False

    def reject(self, request_hash: str, error: str) -> None:
        """Note why the newest answer of a request is of no use."""
        with self.db.session() as session:
            newest = select(func.max(Call.id)).where(Call.request_hash == request_hash, Call.answer.is_not(None))
            session.execute(update(Call).where(Call.id == newest.scalar_subquery()).values(error=error[:400]))


def labeler_kind(ctx: Context, request: LabelerRequest) -> str:
    """The labeler that is meant: asked for, set, or what fits the model and what is at hand."""
    kind = request.kind or ctx.settings.labeler
    if kind and kind != "auto":
        if kind not in LABELERS:
            raise UsageError(f"there is no labeler {kind!r}", nearest(kind, LABELERS))
        return kind
    if ctx.settings.model == "shapes":
        return "clip"
    key = request.api_key_env or ctx.settings.api_key_env
    if request.base_url or ctx.settings.base_url or os.environ.get(key):
        return "vlm"
    ctx.progress.note(f"no {key} and no --base-url: naming by the words of the prompts (labeler prompts)")
    return "prompts"


def make_client(ctx: Context, request: LabelerRequest) -> Any:
    """A client of the remote model that the request or the settings name."""
    from autointerp.labeling.chat import ChatClient, ChatOptions
    from autointerp.labeling.prices import PRICES

    settings = ctx.settings
    model = request.model or settings.vlm
    if not model:
        raise NotAvailable("no model is named for the labeler vlm", "give --vlm MODEL, or set `vlm` in autointerp.toml")
    limits = ChatOptions(
        max_calls=settings.max_calls if request.max_calls is None else request.max_calls,
        max_cost=settings.max_cost if request.max_cost is None else request.max_cost,
        prices=ctx.workspace.path / PRICES,
    )
    return ChatClient(
        model,
        request.base_url or settings.base_url or "",
        request.api_key_env or settings.api_key_env,
        DatabaseLedger(ctx.db, request.ask_again),
        limits,
    )


def make_labeler(ctx: Context, request: LabelerRequest) -> Labeler:
    """The labeler, ready for `prepare`."""
    kind = labeler_kind(ctx, request)
    if kind == "prompts":
        from autointerp.labeling.prompts import PromptsLabeler

        return PromptsLabeler()
    if kind == "vlm":
        from autointerp.labeling.vlm import VlmLabeler

        return VlmLabeler(make_client(ctx, request), jobs=request.jobs)
    from autointerp.labeling.cells import PartReader
    from autointerp.labeling.clip import ClipLabeler, ClipOptions
    from autointerp.labeling.vocabulary import SHAPES_CONTRASTS, default_vocabulary, shapes_vocabulary
    from autointerp.shapes.clip import PARTS

    if ctx.settings.model != "shapes":
        return ClipLabeler(ctx.embedder, default_vocabulary(world=False), windows=ctx.windows)
    # The reader of parts is fitted for the embedder that it ships with; another one does without.
    readers = [PartReader.load(PARTS, ctx.embedder)] if ctx.embedder_name == "shapes-clip" else []
    return ClipLabeler(
        ctx.embedder,
        default_vocabulary(),
        # Its embedder is small, so many cells cost little.
        ClipOptions(spots=16),
        windows=ctx.windows,
        contrasts=SHAPES_CONTRASTS,
        familiar=shapes_vocabulary(),
        readers=readers,
    )


def check_judge(kind: str | None) -> str:
    """The judge that is meant.

    Raises:
        UsageError: There is no such judge.
    """
    if kind is not None and kind not in JUDGES:
        raise UsageError(f"there is no judge {kind!r}", nearest(kind, JUDGES))
    return kind or "vlm"


def make_judge(ctx: Context, request: LabelerRequest, question: Question, client: ChatClient | None = None) -> Judge:
    """Who answers a question; a `client` is shared, so that all that is asked spends one budget.

    Raises:
        NotAvailable: No model is named, or there is no key for it.
    """
    kind = check_judge(request.judge)
    if kind in CONTROLS:
        return ControlJudge(kind, ctx.settings.seed)
    return VlmJudge(client or make_client(ctx, request), jobs=request.jobs, question=question)


def labeler_columns(labeler: Labeler | Judge) -> dict[str, str]:
    """What identifies a labeler or judge in the `labelers` table."""
    return {
        "kind": labeler.kind,
        "model": labeler.model,
        "base_url": labeler.base_url,
        "prompt_hash": labeler.prompt_hash,
        "config_hash": identity(labeler.config),
    }
