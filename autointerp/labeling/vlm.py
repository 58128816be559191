"""The labeler `vlm`: a vision-language model names each feature from its marked crops, one call a feature.

A reply that cannot be read is quoted back once for repair; after that the feature has failed, with the reason. A
reached budget ends the work with what is done kept: `stopped` then says why.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass, replace
from json import dumps
from threading import BoundedSemaphore, Lock
from typing import Any, TypeVar

import numpy as np
from pydantic import BaseModel

from autointerp.errors import UsageError
from autointerp.labeling.attempts import AskFailed
from autointerp.labeling.chat import WAITS_FOR_BATCH, Asker, BudgetReached
from autointerp.labeling.clusters import clusters
from autointerp.labeling.messages import (
    TOLD,
    Mark,
    Message,
    PictureForm,
    WholePictures,
    image_part,
    marked_view,
    shown,
    text_part,
    whole_picture,
)
from autointerp.labeling.methods import METHODS, anywhere
from autointerp.labeling.protocol import CropEvidence, FeatureEvidence, Judge, LabelResult, LayerContext, ScoreEvidence
from autointerp.labeling.replies import LABEL_SCHEMA, LabelReply, UnreadableReply, parse_reply
from autointerp.labeling.templates import PromptFile, hash_of, load_prompt

Reply = TypeVar("Reply", bound=BaseModel)


@dataclass(frozen=True)
class VlmOptions:
    """What a VLM is shown of a feature."""

    crops: int = 10
    """Crops shown, spread over the range of activation."""
    floor: float = 0.25
    """Crops below this share of the feature's strongest are not shown: there, much fires by the way."""
    context: bool = True
    """Whether each marked picture comes after the same one without a mark."""
    negatives: int = 3
    """Images shown in which the feature does not fire."""
    mark: Mark = "dim"
    """How the place is marked where the feature fires."""
    image_format: PictureForm = "jpeg"
    sheet: bool = False
    """Whether all pictures of a request are tiles of one, for servers that take one."""
    candidates: int = 1
    """Names asked for, each from other crops; the one that tells best where the feature fires is taken."""
    clusters: int = 1
    """Groups that a feature's crops are parted into at most, each named by itself."""
    notes: str = ""
    """What else the VLM is told, e.g. of the layer."""


def ask_for(
    client: Asker,
    messages: list[Message],
    schema: dict[str, Any],
    form: type[Reply],
    purpose: str,
    repair: PromptFile,
) -> Reply:
    """Ask, read the reply, and if it cannot be read ask once more, quoting it.

    Raises:
        AskFailed: no readable reply came.
        AutointerpError: see `ChatClient.ask`.
    """
    answer = client.ask(messages, schema, purpose)
    try:
        return parse_reply(answer, form)
    except UnreadableReply as error:
        client.reject(messages, schema, f"unreadable: {error}")
        quoted = answer[:4000]
        request = repair.render(error=str(error), reply=quoted, schema=dumps(schema))
        repairing = [*messages, {"role": "user", "content": request}]
        again = client.ask(repairing, schema, f"{purpose}-repair")
    try:
        return parse_reply(again, form)
    except UnreadableReply as error:
        client.reject(repairing, schema, f"unreadable: {error}")
        raise AskFailed(f"unreadable reply, twice: {error}") from error


class VlmLabeler:
    """Names features by asking a VLM; of the kind that its asker is."""

    streams = True
    """Features are taken one by one, as there is room for them."""

    def __init__(
        self,
        client: Asker,
        options: VlmOptions | None = None,
        jobs: int = 4,
        prompt: PromptFile | None = None,
        repair: PromptFile | None = None,
        judge: Judge | None = None,
        vectors: Callable[[Sequence[CropEvidence]], np.ndarray] | None = None,
    ) -> None:
        """Take who is asked, what is shown, how many requests run at once, and prompt files of one's own.

        `judge` answers fuzzing questions to rank candidates; `vectors` gives crops' unit vectors, float32 [n, dim], to
        part them into clusters.

        Raises:
            UsageError: There are to be candidates but no judge, or clusters but no vectors.
        """
        self.client, self.options, self.jobs = client, options or VlmOptions(), max(1, jobs)
        client.bear(self.jobs)
        self._wholes = WholePictures()
        # Who cuts keeps a processor busy: more at a time would only keep those waiting who have something to send.
        self._cutting = BoundedSemaphore(os.cpu_count() or 1)
        self._prompt = prompt or load_prompt("label.md.j2")
        self._repair = repair or load_prompt("repair.md.j2")
        self.kind, self.model, self.base_url = client.kind, client.model, client.base_url
        self.prompt_hash = hash_of([self._prompt, self._repair])
        self.config: dict[str, Any] = {**asdict(self.options), **client.config}
        self.stopped = ""
        self._judge, self._vectors, self._embedding = judge, vectors, Lock()
        if self.options.candidates > 1 and judge is None:
            raise UsageError("candidates are ranked by a judge, and there is none", "leave out --candidates")
        if self.options.clusters > 1 and vectors is None:
            raise UsageError("clusters need the vectors of crops, and there is no embedder", "leave out --clusters")

    def prepare(self, context: LayerContext) -> None:
        """Nothing to learn of the layer."""

    def label(self, features: Iterable[FeatureEvidence]) -> Iterator[LabelResult]:
        """Answer for each feature as its reply comes; those beyond a reached budget get no answer.

        Raises:
            AutointerpError: every request would fail (key, model, address).
        """
        self.stopped = ""
        waiting: set[Future[LabelResult]] = set()
        todo = iter(features)
        # About twice as many as may ask at once: the others cut and encode what is sent next. One alone keeps order.
        pool = ThreadPoolExecutor(2 * self.jobs - 1, thread_name_prefix="vlm")
        try:
            exhausted = False
            while waiting or not exhausted:
                while not exhausted and not self.stopped and len(waiting) < 2 * self.jobs:
                    feature = next(todo, None)
                    if feature is None:
                        exhausted = True
                    else:
                        waiting.add(pool.submit(self._label, feature))
                exhausted = exhausted or bool(self.stopped)
                done, waiting = wait(waiting, return_when=FIRST_COMPLETED) if waiting else (set(), waiting)
                for future in done:
                    try:
                        yield future.result()
                    except BudgetReached as error:
                        self.stopped = str(error)
        except KeyboardInterrupt:
            # What is under way is paid for and kept; what waits to be tried again is not.
            self.client.give_up()
            raise
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def messages(self, feature: FeatureEvidence) -> list[Message]:
        """The request for one feature."""
        options = self.options
        strongest = max((crop.activation for crop in feature.crops), default=0.0)
        fired = [crop for crop in feature.crops if crop.activation >= options.floor * strongest]
        crops = spread(fired, options.crops)
        negatives = feature.negatives[: self.options.negatives]
        if options.sheet:
            tiles = [
                (f"Example {n}:", [*(whole_picture(crop) if options.context else []), *marked_view(crop, options.mark)])
                for n, crop in enumerate(crops, 1)
            ]
            tiles += [(f"Does not fire, {n}:", whole_picture(crop)) for n, crop in enumerate(negatives, 1)]
            content = shown(tiles, options.image_format, sheet=True)
        else:
            content = []
            for number, crop in enumerate(crops, 1):
                content.append(text_part(f"Example {number}:"))
                content += self._wholes.parts(crop, options.image_format) if options.context else []
                content += [image_part(view, options.image_format) for view in marked_view(crop, options.mark)]
            for number, crop in enumerate(negatives, 1):
                content.append(text_part(f"Does not fire, {number}:"))
                content += self._wholes.parts(crop, options.image_format)
        told = self._prompt.render(
            marked=True,
            mark=TOLD[options.mark],
            context=options.context,
            negatives=bool(negatives),
            notes=options.notes,
        )
        return [{"role": "system", "content": told}, {"role": "user", "content": content}]

    def _label(self, feature: FeatureEvidence) -> LabelResult:
        """The answer on a feature: one name, or those of its clusters."""
        if not feature.crops:
            return LabelResult(feature.feature_id, "uninterpretable", explanation="No crops to look at.")
        groups = self._groups(feature)
        named = [self._chosen(replace(feature, crops=tuple(group))) for group in groups]
        return named[0] if len(named) == 1 else together(named, [len(group) for group in groups])

    def _groups(self, feature: FeatureEvidence) -> list[list[CropEvidence]]:
        if self.options.clusters < 2 or self._vectors is None:
            return [list(feature.crops)]
        with self._embedding:
            vectors = self._vectors(feature.crops)
        return [[feature.crops[i] for i in group] for group in clusters(vectors, self.options.clusters)]

    def _chosen(self, feature: FeatureEvidence) -> LabelResult:
        """The best of the candidates; the first one, of all the crops, where none is better."""
        found = [self._named(feature)]
        for part in range(1, self.options.candidates):
            other = feature.crops[part - 1 :: self.options.candidates - 1] if self.options.candidates > 2 else ()
            found.append(self._named(replace(feature, crops=tuple(other or feature.crops[::2]))))
        if any(result.error == WAITS_FOR_BATCH for result in found):
            return LabelResult(feature.feature_id, "failed", error=WAITS_FOR_BATCH)
        named = {result.name.casefold(): result for result in reversed(found) if result.status == "ok"}
        if len(named) < 2 or self._judge is None:
            return next(iter(named.values()), found[0])
        candidates = list(reversed(named.values()))
        try:
            return candidates[int(np.argmax([self._worth(feature, result) for result in candidates]))]
        except AskFailed as error:
            return LabelResult(feature.feature_id, "failed", error=str(error))

    def _worth(self, feature: FeatureEvidence, result: LabelResult) -> float:
        """Balanced accuracy of a name on marks of the explain split: the held-out ones stay unseen."""
        assert self._judge is not None
        rng = np.random.default_rng(feature.feature_id)
        elsewhere = [m for crop in feature.negatives if (m := anywhere(crop, rng)) is not None]
        shown = ScoreEvidence(feature.feature_id, firing=feature.crops, foreign=tuple(elsewhere))
        fuzzing = METHODS["fuzzing"]
        verdicts = self._judge.judge(fuzzing.trials(result.name, result.explanation, shown, rng))
        if any(verdict.error == WAITS_FOR_BATCH for verdict in verdicts):
            raise AskFailed(WAITS_FOR_BATCH)
        value = fuzzing.result(verdicts, 0).value
        return -1.0 if value is None else value

    def _named(self, feature: FeatureEvidence) -> LabelResult:
        """One request for a name, and its repair."""
        try:
            with self._cutting:
                messages = self.messages(feature)
            reply = ask_for(self.client, messages, LABEL_SCHEMA, LabelReply, f"label {feature.feature}", self._repair)
        except AskFailed as error:
            return LabelResult(feature.feature_id, "failed", error=str(error))
        confidence = round(reply.confidence, 4)
        if not reply.interpretable:
            return LabelResult(feature.feature_id, "uninterpretable", "", reply.explanation, confidence)
        if not reply.name:
            return LabelResult(feature.feature_id, "failed", error="the reply has an empty name")
        return LabelResult(feature.feature_id, "ok", reply.name, reply.explanation, confidence)


def together(named: Sequence[LabelResult], sizes: Sequence[int]) -> LabelResult:
    """One answer of those on a feature's clusters, of so many crops each.

    Clusters that are named alike are one meaning. Several make the feature polysemantic, which its explanation says.
    A cluster without an answer fails the feature: what it lacks would be taken for no meaning.
    """
    failed = min((r for r in named if r.status == "failed"), key=lambda r: r.error != WAITS_FOR_BATCH, default=None)
    if failed is not None:
        return failed
    shares: dict[str, float] = {}
    first: dict[str, LabelResult] = {}
    for result, size in sorted(zip(named, sizes, strict=True), key=lambda one: -one[1]):
        if result.status == "ok":
            shares[result.name.casefold()] = shares.get(result.name.casefold(), 0.0) + size / sum(sizes)
            first.setdefault(result.name.casefold(), result)
    if len(first) < 2:
        return next(iter(first.values()), named[0])
    told = "; ".join(f"{first[name].name} ({share:.0%} of the crops)" for name, share in shares.items())
    return LabelResult(
        named[0].feature_id,
        "ok",
        "; ".join(result.name for result in first.values()),
        f"Polysemantic: {told}.",
        round(sum(share * first[name].confidence for name, share in shares.items()), 4),
    )


def spread(crops: Sequence[CropEvidence], n: int) -> list[CropEvidence]:
    """`n` crops spread evenly over a list that is sorted by activation: first, last, and between."""
    if len(crops) <= n:
        return list(crops)
    if n <= 1:
        return list(crops[:n])
    return [crops[round(i * (len(crops) - 1) / (n - 1))] for i in range(n)]
