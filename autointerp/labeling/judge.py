"""Who answers trials: a VLM, an embedder, and judges that only test the scores.

A VLM is asked for several trials of one label at once. A request whose reply cannot be read, or does not fit what was
asked, leaves its trials unscored: they never count as wrong.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from autointerp.errors import UsageError
from autointerp.labeling.attempts import AskFailed
from autointerp.labeling.chat import Asker
from autointerp.labeling.messages import TOLD, Mark, Message, PictureForm, shown
from autointerp.labeling.methods import text_for_embedding
from autointerp.labeling.protocol import CropEvidence, Trial, Verdict
from autointerp.labeling.questions import DETECTION, Question
from autointerp.labeling.templates import PromptFile, hash_of, load_prompt
from autointerp.labeling.vlm import ask_for
from autointerp.search.protocol import Embedder
from autointerp.texts import REASON, clean

CONTROLS: dict[str, Callable[[Sequence[Trial], np.random.Generator], Sequence[bool]]] = {
    "oracle": lambda trials, rng: [trial.truth for trial in trials],
    "coin": lambda trials, rng: [bool(side) for side in rng.random(len(trials)) < 0.5],
    "always-yes": lambda trials, rng: [True] * len(trials),
}
"""Judges whose score is known before: 1.0 for the oracle, which is told the truth, 0.5 for the others."""


@dataclass(frozen=True)
class JudgeOptions:
    """How a VLM judges."""

    batch: int = 8
    """Images in one call."""
    explain: bool = True
    """Whether the judge reads the explanation too, or the name alone."""
    mark: Mark = "dim"
    """How places are marked, where the question is about one."""
    sheet: bool = False
    """Whether all pictures of a request are tiles of one."""
    image_format: PictureForm = "jpeg"


class VlmJudge:
    """Answers trials by asking a VLM one kind of question."""

    kind = "judge"

    def __init__(
        self,
        client: Asker,
        options: JudgeOptions | None = None,
        jobs: int = 4,
        question: Question = DETECTION,
        prompt: PromptFile | None = None,
        repair: PromptFile | None = None,
    ) -> None:
        """Take who is asked and what; a prompt file of one's own takes the place of the question's."""
        self.client, self.options, self.jobs, self.question = client, options or JudgeOptions(), max(1, jobs), question
        self._prompt = prompt or load_prompt(question.prompt)
        self._repair = repair or load_prompt("repair.md.j2")
        client.bear(self.jobs)
        # Of all who call `judge` at a time, no more than `jobs` requests run at once.
        self._pool = ThreadPoolExecutor(self.jobs, thread_name_prefix="judge")
        self.model, self.base_url = client.model, client.base_url
        self.prompt_hash = hash_of([self._prompt, self._repair])
        self.config: dict[str, Any] = {
            **asdict(self.options),
            **client.config,
            "prompt_hash": self.prompt_hash,
            "question": question.purpose,
        }

    def judge(self, trials: Sequence[Trial]) -> list[Verdict]:
        """Answer all trials of one label, in their order; several labels may be judged at once, from as many threads.

        Raises:
            UsageError: the trials are of several labels.
            AutointerpError: every request would fail, or a budget is reached (`BudgetReached`).
        """
        if len({(t.name, t.explanation) for t in trials}) > 1:
            raise UsageError("the trials of one call must be of one label", "judge each label's trials by themselves")
        batches = self.question.batches(trials, max(1, self.options.batch))
        asked = [self._pool.submit(self._batch, batch) for batch in batches]
        # Nothing is left running where one of them raises.
        wait(asked)
        return [verdict for one in asked for verdict in one.result()]

    def messages(self, trials: Sequence[Trial]) -> list[Message]:
        """The request for one batch."""
        explanation = trials[0].explanation if self.options.explain else ""
        mark = self.options.mark
        told = self._prompt.render(name=trials[0].name, explanation=explanation, count=len(trials), mark=TOLD[mark])
        items = [
            (f"Image {number}:", self.question.views(trial.crop, mark))
            for number, trial in enumerate(trials, 1)
            if trial.crop is not None
        ]
        content = shown(items, self.options.image_format, self.options.sheet)
        return [{"role": "system", "content": told}, {"role": "user", "content": content}]

    def _batch(self, trials: Sequence[Trial]) -> list[Verdict]:
        ask, messages = self.question, self.messages(trials)
        try:
            reply = ask_for(self.client, messages, ask.schema, ask.form, ask.purpose, self._repair)
            return ask.read(reply, trials)
        except (AskFailed, ValueError) as error:
            if isinstance(error, ValueError):
                self.client.reject(messages, ask.schema, f"it does not fit: {error}")
            return [Verdict(trial, error=clean(str(error), REASON)) for trial in trials]


class ControlJudge:
    """Answers as `CONTROLS` says, the same trials always alike."""

    kind, base_url, prompt_hash = "control", "", ""

    def __init__(self, model: str, seed: int = 0) -> None:
        """Take one of the names in `CONTROLS`."""
        self.model, self.seed = model, seed
        self.config: dict[str, Any] = {"seed": seed}

    def judge(self, trials: Sequence[Trial]) -> list[Verdict]:
        """Answer all trials; a yes is the number 1 too, a no 0."""
        asked = "\n".join(
            f"{t.latent}|{t.name}|{t.kind}|{t.prompt}|{t.seed}|{t.crop and t.crop.crop_id}" for t in trials
        )
        answers = CONTROLS[self.model](trials, np.random.default_rng((self.seed, zlib.crc32(asked.encode()))))
        return [Verdict(trial, holds, value=float(holds)) for trial, holds in zip(trials, answers, strict=True)]


class EmbedderJudge:
    """Answers with the cosine of the label's words and the crop, each embedded."""

    kind, base_url, prompt_hash = "embedder", "", ""

    def __init__(self, embedder: Embedder, vectors: Callable[[Sequence[CropEvidence]], np.ndarray]) -> None:
        """Take who embeds words, and what gives the unit vectors of crops, float32 [n, dim]."""
        self.embedder, self.vectors, self.model = embedder, vectors, embedder.name
        self.config: dict[str, Any] = {}

    def judge(self, trials: Sequence[Trial]) -> list[Verdict]:
        """Measure all trials; they may be of several labels."""
        if not trials:
            return []
        names = list(dict.fromkeys(trial.name for trial in trials))
        words = dict(zip(names, self.embedder.embed_texts([text_for_embedding(n) for n in names]), strict=True))
        crops = self.vectors([trial.crop for trial in trials if trial.crop is not None])
        return [
            Verdict(trial, value=float(words[trial.name] @ vector)) for trial, vector in zip(trials, crops, strict=True)
        ]
