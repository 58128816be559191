"""The labeler `vlm`: a vision-language model names each feature from its marked crops, one request a feature.

A reply that cannot be read is quoted back once for repair; after that the feature has failed, with the reason.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from threading import BoundedSemaphore, Lock
from typing import Any

import numpy as np

from autointerp.errors import UsageError
from autointerp.labeling.asking.busy_threads import answers_to
from autointerp.labeling.asking.protocol import Asker, AskFailed, Message, WaitsForBatch
from autointerp.labeling.asking.repair import ask_for_reply
from autointerp.labeling.asking.replies import LABEL_SCHEMA, LabelReply
from autointerp.labeling.asking.templates import PromptFile, hash_of, load_prompt
from autointerp.labeling.evidence.clusters import clusters
from autointerp.labeling.judging.fuzzing import Fuzzing
from autointerp.labeling.judging.marks import anywhere
from autointerp.labeling.labelers.feature_messages import FeatureMessages, VlmOptions
from autointerp.labeling.labelers.merging import merged
from autointerp.labeling.protocol import CropEvidence, FeatureEvidence, Judge, LabelResult, LayerContext, ScoreEvidence


class VlmLabeler:
    """Names features by asking a VLM. The labeler's kind is that of its asker."""

    streams = True

    def __init__(
        self,
        asker: Asker,
        options: VlmOptions | None = None,
        jobs: int = 4,
        prompt: PromptFile | None = None,
        repair: PromptFile | None = None,
        judge: Judge | None = None,
        vectors: Callable[[Sequence[CropEvidence]], np.ndarray] | None = None,
    ) -> None:
        """Prepare to ask.

        Args:
            asker: The VLM.
            options: What it is shown of a feature.
            jobs: Requests at the same time.
            prompt: A prompt file in the place of the shipped request.
            repair: A prompt file in the place of the shipped request to repair a reply.
            judge: Answers fuzzing questions, to rank several candidates.
            vectors: Returns the unit vectors of crops, float32 [n, dim], to part them into clusters.

        Raises:
            UsageError: Several candidates are asked for without a judge, or several clusters without vectors.
        """
        self.asker, self.options, self.jobs = asker, options or VlmOptions(), max(1, jobs)
        asker.bear(self.jobs)
        # Cropping and encoding are CPU-bound. Cap their threads at the number of cores, so that finished requests are
        # sent without delay.
        self._cutting = BoundedSemaphore(os.cpu_count() or 1)
        prompt = prompt or load_prompt("label.md.j2")
        self._messages = FeatureMessages(self.options, prompt)
        self._repair = repair or load_prompt("repair.md.j2")
        self.kind, self.model, self.base_url = asker.kind, asker.model, asker.base_url
        self.prompt_hash = hash_of([prompt, self._repair])
        self.config: dict[str, Any] = {**self.options.config, **asker.config}
        self.cells = 0 if self.options.evidence == "peaks" else self.options.crops
        self.stopped = ""
        self._judge, self._vectors, self._embedding = judge, vectors, Lock()
        if self.options.candidates > 1 and judge is None:
            raise UsageError("candidates are ranked by a judge, and there is none", "leave out --candidates")
        if self.options.clusters > 1 and vectors is None:
            raise UsageError("clusters need the vectors of crops, and there is no embedder", "leave out --clusters")

    def prepare(self, context: LayerContext) -> None:
        """Do nothing: a VLM is told of the feature alone."""
        del context

    def label(self, features: Iterable[FeatureEvidence]) -> Iterator[LabelResult]:
        """Answer for each feature as its reply comes. A reached budget ends the work; `stopped` then says why.

        Raises:
            AutointerpError: Every request would fail (key, model, address).
        """
        self.stopped = ""
        yield from answers_to(features, self._label, self.asker, self.jobs, self._stop)

    def _stop(self, reason: str) -> None:
        self.stopped = reason

    def messages(self, feature: FeatureEvidence) -> list[Message]:
        """Return the request for one feature."""
        return self._messages.of(self._messages.evidence_of(feature))

    def _label(self, feature: FeatureEvidence) -> LabelResult:
        """Return the result of a feature: one name, or the merged names of its clusters."""
        if not feature.crops:
            return LabelResult(feature.feature_id, "uninterpretable", explanation="No crops to look at.")
        feature = self._messages.evidence_of(feature)
        groups = self._groups(feature)
        named = [self._chosen(replace(feature, crops=tuple(group))) for group in groups]
        return named[0] if len(named) == 1 else merged(named, [len(group) for group in groups])

    def _groups(self, feature: FeatureEvidence) -> list[list[CropEvidence]]:
        """Part the feature's crops into clusters; one group of all where no clusters are asked for."""
        if self.options.clusters < 2 or self._vectors is None:
            return [list(feature.crops)]
        with self._embedding:
            vectors = self._vectors(feature.crops)
        return [[feature.crops[i] for i in group] for group in clusters(vectors, self.options.clusters)]

    def _chosen(self, feature: FeatureEvidence) -> LabelResult:
        """Return the best candidate; the first one, which saw all crops, where no other is better."""
        found = [self._named(feature)]
        for part in range(1, self.options.candidates):
            other = feature.crops[part - 1 :: self.options.candidates - 1] if self.options.candidates > 2 else ()
            found.append(self._named(replace(feature, crops=tuple(other or feature.crops[::2]))))
        if any(result.status == "waiting" for result in found):
            return LabelResult(feature.feature_id, "waiting")
        named = {result.name.casefold(): result for result in reversed(found) if result.status == "ok"}
        if len(named) < 2 or self._judge is None:
            return next(iter(named.values()), found[0])
        candidates = list(reversed(named.values()))
        try:
            return candidates[int(np.argmax([self._worth(feature, result) for result in candidates]))]
        except WaitsForBatch:
            return LabelResult(feature.feature_id, "waiting")
        except AskFailed as error:
            return LabelResult(feature.feature_id, "failed", error=str(error))

    def _worth(self, feature: FeatureEvidence, result: LabelResult) -> float:
        """Return a name's balanced accuracy on marks of the explain split; the score split stays unseen."""
        assert self._judge is not None
        rng = np.random.default_rng(feature.feature_id)
        elsewhere = [m for crop in feature.negatives if (m := anywhere(crop, rng)) is not None]
        shown = ScoreEvidence(feature.feature_id, firing=feature.crops, foreign=tuple(elsewhere))
        fuzzing = Fuzzing()
        verdicts = self._judge.judge(fuzzing.trials(result.name, result.explanation, shown, rng))
        if any(verdict.waits for verdict in verdicts):
            raise WaitsForBatch
        value = fuzzing.result(verdicts, 0).value
        return -1.0 if value is None else value

    def _named(self, feature: FeatureEvidence) -> LabelResult:
        """Ask for one name."""
        try:
            with self._cutting:
                messages = self.messages(feature)
            reply = ask_for_reply(
                self.asker, messages, LABEL_SCHEMA, LabelReply, f"label {feature.feature}", self._repair
            )
        except WaitsForBatch:
            return LabelResult(feature.feature_id, "waiting")
        except AskFailed as error:
            return LabelResult(feature.feature_id, "failed", error=str(error))
        confidence = round(reply.confidence or 0.0, 4)
        if not reply.interpretable:
            return LabelResult(feature.feature_id, "uninterpretable", "", reply.explanation, confidence)
        if not reply.name:
            return LabelResult(feature.feature_id, "failed", error="the reply has an empty name")
        return LabelResult(feature.feature_id, "ok", reply.name, reply.explanation, confidence)
