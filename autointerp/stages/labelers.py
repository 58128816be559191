"""Which labeler a command means, made ready to work, and the ledger its calls go to."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

from sqlalchemy import bindparam, func, select, update

from autointerp.db import queries
from autointerp.db.engine import Database
from autointerp.db.models import Call
from autointerp.diffusion.describe import SHAPES
from autointerp.errors import NotAvailable, UsageError, nearest
from autointerp.labeling.judge import CONTROLS, ControlJudge, JudgeOptions, VlmJudge
from autointerp.labeling.protocol import CallRecord, Judge, KnownAnswer, Labeler
from autointerp.labeling.templates import load_prompt
from autointerp.stages.context import Context, identity

if TYPE_CHECKING:
    from autointerp.labeling.chat import Asker, ChatClient
    from autointerp.labeling.questions import Question

VLMS = ("shapes-vlm", "local-vlm", "vlm")
"""Those that are asked as a chat is, and judge too: shipped, on this machine, at a server."""
LABELERS = (*VLMS, "clip", "prompts", "human")
_READER = "reader"
JUDGES = (*VLMS, _READER, *CONTROLS)
_BATCH = 16
"""Requests that shapes-vlm answers at once."""


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
    candidates: int | None = None
    clusters: int | None = None
    judge: str | None = None
    """Who judges; None is the labeler where it is a VLM, else `vlm`."""
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
        if kind == "human":
            given = "give --feature DICTIONARY:INDEX and --name TEXT, or a file to `autointerp labels import`"
            raise UsageError("the labeler human is you", given)
        return kind
    if request.model or request.base_url:
        return "vlm"
    if ctx.settings.model == SHAPES:
        return "shapes-vlm"
    key = request.api_key_env or ctx.settings.api_key_env
    if ctx.settings.base_url or os.environ.get(key):
        return "vlm"
    ctx.progress.note(f"no {key} and no --base-url: naming by the words of the prompts (labeler prompts)")
    return "prompts"


def make_asker(ctx: Context, request: LabelerRequest, kind: str) -> Asker:
    """The VLM of a kind that answers chat requests.

    Raises:
        NotAvailable: No model is named, or there is no key for it.
        AutointerpError: A model on this machine cannot be loaded.
    """
    if kind == "vlm":
        return make_client(ctx, request)
    from autointerp.labeling.local import LocalChat, LocalVlm

    ledger = DatabaseLedger(ctx.db, request.ask_again)
    most = ctx.settings.max_calls if request.max_calls is None else request.max_calls
    if kind == "shapes-vlm":
        from autointerp.shapes.vlm import MAX_TOKENS, load_shapes_vlm

        return LocalChat(load_shapes_vlm(), "shapes-vlm", ledger, _BATCH, MAX_TOKENS, most)
    from autointerp.diffusion.devices import pick_device, pick_dtype

    name = _named(ctx, request, kind)
    ctx.progress.note(f"loading {name}")
    device = pick_device(ctx.settings.device)
    only_here = ctx.settings.loading.local_files_only
    vlm = LocalVlm.load(name, device=device, dtype=pick_dtype(ctx.settings.dtype, device), local_files_only=only_here)
    return LocalChat(vlm, "local-vlm", ledger, request.jobs, max_calls=most)


def _named(ctx: Context, request: LabelerRequest, kind: str) -> str:
    """The model that is asked for or set."""
    model = request.model or ctx.settings.vlm
    if not model:
        raise NotAvailable(
            f"no model is named for the labeler {kind}", "give --vlm MODEL, or set `vlm` in autointerp.toml"
        )
    return model


def make_client(ctx: Context, request: LabelerRequest) -> ChatClient:
    """A client of the remote model that the request or the settings name."""
    from autointerp.labeling.chat import ChatClient, ChatOptions
    from autointerp.labeling.prices import PRICES

    settings = ctx.settings
    model = _named(ctx, request, "vlm")
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


def notes_of(ctx: Context, layer: str) -> str:
    """What the settings have to say of a layer, under its alias or hookpoint.

    Raises:
        UsageError: The notes are of a layer that the model does not have.
    """
    wanted, found = ctx.layer(layer).hookpoint, []
    for name, text in ctx.settings.notes.items():
        try:
            place = ctx.layer(name)
        except UsageError as error:
            raise UsageError(f"[notes] in the settings: {error.message}", error.hint) from None
        found += [text.strip()] if place.hookpoint == wanted else []
    return "\n".join(found)


def make_labeler(ctx: Context, request: LabelerRequest, layer: str) -> Labeler:
    """The labeler of a layer, ready for `prepare`."""
    kind = labeler_kind(ctx, request)
    if kind == "prompts":
        from autointerp.labeling.prompts import PromptsLabeler

        return PromptsLabeler()
    if kind in VLMS:
        return _make_vlm_labeler(ctx, request, kind, layer)
    from autointerp.labeling.cells import PartReader
    from autointerp.labeling.clip import ClipLabeler, ClipOptions
    from autointerp.labeling.vocabulary import SHAPES_CONTRASTS, default_vocabulary, shapes_vocabulary
    from autointerp.shapes.clip import PARTS

    if ctx.settings.model != SHAPES:
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


def _make_vlm_labeler(ctx: Context, request: LabelerRequest, kind: str, layer: str) -> Labeler:
    from autointerp.labeling.questions import FUZZING
    from autointerp.labeling.vlm import VlmLabeler, VlmOptions

    settings = ctx.settings
    options = VlmOptions(mark=settings.mark, sheet=settings.sheet)
    if kind == "shapes-vlm":
        # Marks and sheets are as it was trained on, whatever is set.
        from autointerp.shapes.vlm import OPTIONS as options
    options = replace(
        options,
        notes=notes_of(ctx, layer),
        candidates=request.candidates or settings.candidates,
        clusters=request.clusters or settings.clusters,
    )
    asker = make_asker(ctx, request, kind)
    judge = make_judge(ctx, replace(request, judge=kind), FUZZING, asker) if options.candidates > 1 else None
    vectors = ctx.windows if options.clusters > 1 and ctx.has_embedder else None
    prompt, repair = (load_prompt(name, ctx.workspace.prompts_dir) for name in ("label.md.j2", "repair.md.j2"))
    return VlmLabeler(asker, options, _jobs(request, kind), prompt, repair, judge, vectors)


def _jobs(request: LabelerRequest, kind: str) -> int:
    """Requests at once: of a model on this machine twice a batch, so that one is made ready while one is answered."""
    return request.jobs if kind == "vlm" else 2 * (_BATCH if kind == "shapes-vlm" else request.jobs)


def judge_kind(ctx: Context, request: LabelerRequest) -> str:
    """The judge that is meant: asked for, else the labeler where it is a VLM, else `vlm`.

    Raises:
        UsageError: There is no such judge.
    """
    if request.judge is not None:
        if request.judge not in JUDGES:
            raise UsageError(f"there is no judge {request.judge!r}", nearest(request.judge, JUDGES))
        return request.judge
    kind = labeler_kind(ctx, request)
    return kind if kind in VLMS else "vlm"


def make_judge(ctx: Context, request: LabelerRequest, question: Question, asker: Asker | None = None) -> Judge:
    """Who answers a question; an `asker` is shared, so that all that is asked spends one budget.

    Raises:
        NotAvailable: No model is named, there is no key for it, or it does not answer such questions.
    """
    kind = judge_kind(ctx, request)
    if kind in CONTROLS:
        return ControlJudge(kind, ctx.settings.seed)
    if kind == _READER:
        return _make_reader(ctx, question)
    options = JudgeOptions(mark=ctx.settings.mark, sheet=ctx.settings.sheet)
    if kind == "shapes-vlm":
        from autointerp.shapes.vlm import ANSWERS, JUDGING

        if question.purpose not in ANSWERS:
            raise NotAvailable(
                f"shapes-vlm answers no {question.purpose} questions",
                "name another judge: --judge vlm --vlm MODEL",
            )
        options = JUDGING
    prompts = [load_prompt(name, ctx.workspace.prompts_dir) for name in (question.prompt, "repair.md.j2")]
    asker = asker or make_asker(ctx, request, kind)
    return VlmJudge(asker, options, _jobs(request, kind), question, *prompts)


def _make_reader(ctx: Context, question: Question) -> Judge:
    from autointerp.shapes.reader import ANSWERS, ReaderJudge

    if ctx.settings.model != SHAPES or question.purpose not in ANSWERS:
        raise NotAvailable(
            f"reader answers no {question.purpose} questions about {ctx.settings.model}",
            f"it reads pictures of {SHAPES}, for {' and '.join(ANSWERS)}; name another judge",
        )
    return ReaderJudge(question)


def labeler_columns(labeler: Labeler | Judge) -> dict[str, str]:
    """What identifies a labeler or judge in the `labelers` table."""
    return {
        "kind": labeler.kind,
        "model": labeler.model,
        "base_url": labeler.base_url,
        "prompt_hash": labeler.prompt_hash,
        "config_hash": identity(labeler.config),
    }
