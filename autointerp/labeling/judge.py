"""The detection judge: a VLM says of held-out, unmarked images whether a label holds.

Images of one label are asked for in batches. A batch whose reply cannot be read, or has the wrong number of answers,
is unscored: it never counts as wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any, Literal

from autointerp.errors import UsageError
from autointerp.labeling.attempts import AskFailed
from autointerp.labeling.chat import ChatClient
from autointerp.labeling.messages import Message, image_part, text_part, whole_picture
from autointerp.labeling.protocol import Trial, Verdict
from autointerp.labeling.replies import DETECT_SCHEMA, DetectReply, clean
from autointerp.labeling.templates import PromptFile, hash_of, load_prompt
from autointerp.labeling.vlm import Views, ask_for


@dataclass(frozen=True)
class JudgeOptions:
    """How a VLM judges."""

    batch: int = 8
    """Images in one call."""
    explain: bool = True
    """Whether the judge reads the explanation too, or the name alone."""
    image_format: Literal["webp", "png"] = "webp"


class VlmJudge:
    """Answers detection trials by asking a VLM."""

    def __init__(
        self,
        client: ChatClient,
        options: JudgeOptions | None = None,
        jobs: int = 4,
        views: Views = whole_picture,
        prompt: PromptFile | None = None,
        repair: PromptFile | None = None,
    ) -> None:
        """Take who is asked and how. `views` must show no mark, or the answer is given away."""
        self.client, self.options, self.jobs, self.views = client, options or JudgeOptions(), max(1, jobs), views
        self._prompt = prompt or load_prompt("detect.md.j2")
        self._repair = repair or load_prompt("repair.md.j2")
        self.model, self.base_url = client.model, client.base_url
        self.prompt_hash = hash_of([self._prompt, self._repair])
        self.config: dict[str, Any] = {**asdict(self.options), **client.config, "prompt_hash": self.prompt_hash}

    def judge(self, trials: Sequence[Trial]) -> list[Verdict]:
        """Answer all trials of one label, in their order.

        Raises:
            UsageError: the trials are of several labels.
            AutointerpError: every request would fail, or a budget is reached (`BudgetReached`).
        """
        if len({(t.name, t.explanation) for t in trials}) > 1:
            raise UsageError("the trials of one call must be of one label", "judge each label's trials by themselves")
        size = max(1, self.options.batch)
        batches = [trials[i : i + size] for i in range(0, len(trials), size)]
        with ThreadPoolExecutor(self.jobs, thread_name_prefix="judge") as pool:
            return [verdict for verdicts in pool.map(self._batch, batches) for verdict in verdicts]

    def messages(self, trials: Sequence[Trial]) -> list[Message]:
        """The request for one batch."""
        explanation = trials[0].explanation if self.options.explain else ""
        told = self._prompt.render(name=trials[0].name, explanation=explanation, count=len(trials))
        shown: list[Message] = []
        for number, trial in enumerate(trials, 1):
            shown.append(text_part(f"Image {number}:"))
            shown += [image_part(view, self.options.image_format) for view in self.views(trial.crop)]
        return [{"role": "system", "content": told}, {"role": "user", "content": shown}]

    def _batch(self, trials: Sequence[Trial]) -> list[Verdict]:
        try:
            purpose = "detection"
            reply = ask_for(self.client, self.messages(trials), DETECT_SCHEMA, DetectReply, purpose, self._repair)
            if len(reply.answers) != len(trials):
                raise AskFailed(f"{len(reply.answers)} answers for {len(trials)} images")
        except AskFailed as error:
            return [Verdict(trial, None, str(clean(str(error), 400))) for trial in trials]
        return [Verdict(trial, holds) for trial, holds in zip(trials, reply.answers, strict=True)]
