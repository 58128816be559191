"""The labeler `vlm`: a vision-language model names each feature from its marked crops, one call a feature.

A reply that cannot be read is quoted back once for repair; after that the feature has failed, with the reason. A
reached budget ends the work with what is done kept: `stopped` then says why.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass
from json import dumps
from typing import Any, TypeVar

from pydantic import BaseModel

from autointerp.labeling.attempts import AskFailed
from autointerp.labeling.chat import BudgetReached, ChatClient
from autointerp.labeling.messages import (
    TOLD,
    Mark,
    Message,
    PictureForm,
    WholePictures,
    image_part,
    marked_view,
    text_part,
)
from autointerp.labeling.protocol import CropEvidence, FeatureEvidence, LabelResult, LayerContext
from autointerp.labeling.replies import LABEL_SCHEMA, LabelReply, UnreadableReply, clean, parse_reply
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
    notes: str = ""
    """What else the VLM is told, e.g. of the layer."""


def ask_for(
    client: ChatClient,
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
    """Names features by asking a VLM."""

    kind = "vlm"
    streams = True
    """Features are taken one by one, as there is room for them."""

    def __init__(
        self,
        client: ChatClient,
        options: VlmOptions | None = None,
        jobs: int = 4,
        prompt: PromptFile | None = None,
        repair: PromptFile | None = None,
    ) -> None:
        """Take who is asked, what is shown, how many requests run at once, and prompt files of one's own."""
        self.client, self.options, self.jobs = client, options or VlmOptions(), max(1, jobs)
        client.limiter.bear(self.jobs)
        self._wholes = WholePictures()
        self._prompt = prompt or load_prompt("label.md.j2")
        self._repair = repair or load_prompt("repair.md.j2")
        self.model, self.base_url = client.model, client.base_url
        self.prompt_hash = hash_of([self._prompt, self._repair])
        self.config: dict[str, Any] = {**asdict(self.options), **client.config}
        self.stopped = ""

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
        # Some more than may ask at once: they cut and encode what is sent next.
        pool = ThreadPoolExecutor(self.jobs + self.jobs // 8, thread_name_prefix="vlm")
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
        shown: list[Message] = []
        for number, crop in enumerate(crops, 1):
            shown.append(text_part(f"Example {number}:"))
            shown += self._wholes.parts(crop, options.image_format) if options.context else []
            shown += [image_part(view, options.image_format) for view in marked_view(crop, options.mark)]
        for number, crop in enumerate(negatives, 1):
            shown.append(text_part(f"Does not fire, {number}:"))
            shown += self._wholes.parts(crop, options.image_format)
        told = self._prompt.render(
            marked=True,
            mark=TOLD[options.mark],
            context=options.context,
            negatives=bool(negatives),
            notes=options.notes,
        )
        return [{"role": "system", "content": told}, {"role": "user", "content": shown}]

    def _label(self, feature: FeatureEvidence) -> LabelResult:
        if not feature.crops:
            return LabelResult(feature.feature_id, "uninterpretable", explanation="No crops to look at.")
        try:
            reply = ask_for(
                self.client, self.messages(feature), LABEL_SCHEMA, LabelReply, f"label {feature.feature}", self._repair
            )
        except AskFailed as error:
            return LabelResult(feature.feature_id, "failed", error=str(clean(str(error), 400)))
        confidence = round(reply.confidence, 4)
        if not reply.interpretable:
            return LabelResult(feature.feature_id, "uninterpretable", "", reply.explanation, confidence)
        if not reply.name:
            return LabelResult(feature.feature_id, "failed", error="the reply has an empty name")
        return LabelResult(feature.feature_id, "ok", reply.name, reply.explanation, confidence)


def spread(crops: Sequence[CropEvidence], n: int) -> list[CropEvidence]:
    """`n` crops spread evenly over a list that is sorted by activation: first, last, and between."""
    if len(crops) <= n:
        return list(crops)
    if n <= 1:
        return list(crops[:n])
    return [crops[round(i * (len(crops) - 1) / (n - 1))] for i in range(n)]
