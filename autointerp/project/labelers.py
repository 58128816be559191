"""The labeler and the judge that a command means, made ready to work."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from autointerp.db.queries.labelers import LabelerKey
from autointerp.errors import UsageError
from autointerp.labeling.asking import VLMS
from autointerp.labeling.asking.keys import check_variable, shown_name
from autointerp.labeling.asking.prices import PRICES
from autointerp.labeling.judging import JUDGES
from autointerp.labeling.labelers import LABELERS
from autointerp.labeling.protocol import Judge, Labeler
from autointerp.labeling.setup import VlmSettings
from autointerp.project.context import Context, identity
from autointerp.project.ledger import DatabaseLedger

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from autointerp.labeling.asking.protocol import Asker
    from autointerp.labeling.evidence.windows import WindowEmbedder
    from autointerp.labeling.judging.questions import TrialQuestion
    from autointerp.labeling.labelers.apart import Teller
    from autointerp.project.settings import Settings
    from autointerp.project.word_maps import RerunWordMaps
    from autointerp.search.protocol import Embedder
    from autointerp.worlds import Segmenter, World


@dataclass(frozen=True)
class LabelerRequest:
    """Which labeler and judge a command asks for; None means what the settings say."""

    kind: str | None = None
    model: str | None = None
    base_url: str | None = None
    api_key_env: str | None = None
    jobs: int = 4
    max_calls: int | None = None
    max_cost: float | None = None
    max_tokens: int | None = None
    timeout: float | None = None
    candidates: int | None = None
    clusters: int | None = None
    judge: str | None = None
    """The kind of judge; None is that of the labeler where it is a VLM, else `vlm`."""
    batch: bool = False
    """Whether a remote model is asked in batches, at half the price."""
    ask_again: bool = False
    """Whether requests whose answers came to nothing are asked again; otherwise they would fail for ever."""

    def over(self, settings: Settings) -> Settings:
        """Return settings with the request's options over them; an empty option is none."""
        return settings.changed(
            vlm=self.model or None,
            base_url=self.base_url or None,
            api_key_env=self.api_key_env or None,
            max_calls=self.max_calls,
            max_cost=self.max_cost,
            max_tokens=self.max_tokens,
            timeout=self.timeout,
            candidates=self.candidates,
            clusters=self.clusters,
        )


def labeler_kind(ctx: Context, request: LabelerRequest) -> str:
    """Return the kind of labeler that is meant: asked for, set, or what fits the model and what is at hand.

    Raises:
        UsageError: There is no such labeler, or it is a person.
    """
    kind = request.kind or ctx.settings.labeler
    if kind and kind != "auto":
        if LABELERS.check(kind).name == "human":
            from autointerp.labeling.labelers.given import named_by_hand

            raise named_by_hand()
        return kind
    if request.model or request.base_url:
        return "vlm"
    if ctx.world.labeler is not None:
        return ctx.world.labeler
    key = request.over(ctx.settings).api_key_env
    check_variable(key)
    if ctx.settings.base_url or os.environ.get(key):
        return "vlm"
    ctx.progress.note(f"no {shown_name(key)} and no --base-url: naming by the words of the prompts (labeler prompts)")
    return "prompts"


def check_labeler(ctx: Context, request: LabelerRequest) -> None:
    """Check that there is a labeler of the kind that is meant, and that a VLM which needs a name has one.

    Raises:
        UsageError: There is no such labeler, or it is a person.
        NotAvailable: No model is named for a VLM.
    """
    kind = labeler_kind(ctx, request)
    if kind in ("vlm", "local-vlm"):
        from autointerp.labeling.vlms import named_model

        named_model(CommandSetup(ctx, request), kind)


def judge_kind(ctx: Context, request: LabelerRequest) -> str:
    """Return the kind of judge that is meant: asked for, else the labeler where it is a VLM, else `vlm`.

    Raises:
        UsageError: There is no such judge.
    """
    if request.judge is not None:
        return JUDGES.check(request.judge).name
    kind = labeler_kind(ctx, request)
    return kind if kind in VLMS else "vlm"


class CommandSetup:
    """A `LabelerSetup`: the parts of a command that its labelers and judges are made of."""

    def __init__(self, ctx: Context, request: LabelerRequest, layer: str | None = None) -> None:
        """Keep the command's frame; no model is loaded yet.

        Args:
            ctx: The command's context.
            request: The labeler and judge that it asks for.
            layer: The layer whose notes a labeler is told; None for a judge.
        """
        self._ctx, self._request, self._layer = ctx, request, layer
        self.seed = ctx.settings.seed
        self.model = ctx.settings.model

    @property
    def vlm(self) -> VlmSettings:
        """The settings, changed by the options of the command."""
        request = self._request
        settings = request.over(self._ctx.settings)
        return VlmSettings(
            model=settings.vlm,
            base_url=settings.base_url or "",
            api_key_env=settings.api_key_env,
            max_calls=settings.max_calls,
            max_cost=settings.max_cost,
            max_tokens=settings.max_tokens,
            timeout=settings.timeout,
            prices=self._ctx.workspace.path / PRICES,
            device=settings.device,
            dtype=settings.dtype,
            local_files_only=settings.loading.local_files_only,
            jobs=request.jobs,
            evidence=settings.evidence,
            mark=settings.mark,
            sheet=settings.sheet,
            judge_batch=settings.judge_batch,
            candidates=settings.candidates,
            clusters=settings.clusters,
        )

    @property
    def world(self) -> World:
        """The world of the workspace's model."""
        return self._ctx.world

    @property
    def prompts_dir(self) -> Path:
        """The workspace's folder of prompt files."""
        return self._ctx.workspace.prompts_dir

    @property
    def has_embedder(self) -> bool:
        """Whether the workspace has an embedder of pictures."""
        return self._ctx.has_embedder

    @property
    def embedder_name(self) -> str:
        """Name of that embedder."""
        return self._ctx.embedder_name

    @property
    def embedder(self) -> Embedder:
        """The workspace's embedder."""
        return self._ctx.embedder

    @property
    def word_maps(self) -> RerunWordMaps:
        """The word maps of the workspace's images, by running them again."""
        from autointerp.project.word_maps import RerunWordMaps

        return RerunWordMaps(self._ctx)

    @property
    def segmenter(self) -> Segmenter:
        """What finds phrases in pictures; models are loaded, so that one that is missing is known at once."""
        from autointerp.project.segmenters import segmenter_of

        return segmenter_of(self._ctx)

    @property
    def windows(self) -> WindowEmbedder:
        """The vectors of crops that the command has made so far, and makes when asked."""
        return self._ctx.windows

    def notes(self) -> str:
        """Return the settings' notes on the layer."""
        return "" if self._layer is None else notes_of(self._ctx, self._layer)

    def ledger(self) -> DatabaseLedger:
        """Return the workspace's `calls` table."""
        return DatabaseLedger(self._ctx.db, self._request.ask_again)

    def note(self, text: str) -> None:
        """Tell the person something."""
        self._ctx.progress.note(text)


def make_asker(ctx: Context, request: LabelerRequest, kind: str) -> Asker:
    """Return the VLM of a kind, ready to be asked.

    Raises:
        NotAvailable: No model is named, or there is no key for it.
        AutointerpError: A model on this machine cannot be loaded.
    """
    return VLMS.check(kind).load().make_asker(CommandSetup(ctx, request))


def make_labeler(ctx: Context, request: LabelerRequest, layer: str) -> Labeler:
    """Return the labeler of a layer, ready for `prepare`."""
    return LABELERS.check(labeler_kind(ctx, request)).load().make_labeler(CommandSetup(ctx, request, layer))


def make_teller(
    ctx: Context, request: LabelerRequest, layer: str, asker: Asker, said: Callable[[], Sequence[str]]
) -> Teller:
    """Return what tells features of nearly the same name apart, by the VLM of a layer's labeler.

    `said` returns what may be said of a difference (`proposals`); only some VLMs need it.
    """
    return VLMS.check(labeler_kind(ctx, request)).load().make_teller(CommandSetup(ctx, request, layer), asker, said)


def make_judge(ctx: Context, request: LabelerRequest, question: TrialQuestion, asker: Asker | None = None) -> Judge:
    """Return the judge for a question; an `asker` is shared, so that all questions spend one budget.

    Raises:
        NotAvailable: No model is named, there is no key for it, or it does not answer such questions.
    """
    return JUDGES.check(judge_kind(ctx, request)).load().make_judge(CommandSetup(ctx, request), question, asker)


def notes_of(ctx: Context, layer: str) -> str:
    """Return the settings' notes on a layer, under its alias or hookpoint.

    Raises:
        UsageError: The notes are on a layer that the model does not have.
    """
    wanted, found = ctx.layer(layer).hookpoint, []
    for name, text in ctx.settings.notes.items():
        try:
            place = ctx.layer(name)
        except UsageError as error:
            raise UsageError(f"[notes] in the settings: {error.message}", error.hint) from None
        found += [text.strip()] if place.hookpoint == wanted else []
    return "\n".join(found)


def labeler_key(labeler: Labeler | Judge) -> LabelerKey:
    """Return what identifies a labeler or judge in the `labelers` table."""
    config_hash = identity(labeler.config)
    return LabelerKey(labeler.kind, labeler.model, labeler.base_url, labeler.prompt_hash, config_hash)
