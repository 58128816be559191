"""A VLM as a judge: it is asked for several trials of one label at a time."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass
from typing import Any

from autointerp.errors import UsageError
from autointerp.labeling.asking.messages import TOLD, KeptPictures, Mark, PictureForm, shown, text_part
from autointerp.labeling.asking.protocol import Asker, AskFailed, Message, WaitsForBatch
from autointerp.labeling.asking.repair import ask_for_reply
from autointerp.labeling.asking.templates import PromptFile, hash_of, load_prompt
from autointerp.labeling.judging.detection import DETECTION
from autointerp.labeling.judging.questions import TrialQuestion
from autointerp.labeling.protocol import Trial, Verdict
from autointerp.texts import REASON, clean


@dataclass(frozen=True)
class JudgeOptions:
    """Options of a VLM as a judge."""

    batch: int = 8
    """Images in one request."""
    explain: bool = True
    """Whether the judge reads the explanation too, or the name alone."""
    mark: Mark = "dim"
    """How places are marked, where the question is about one."""
    sheet: bool = False
    """Whether all pictures of a request are tiles of one."""
    image_format: PictureForm = "jpeg"


class VlmJudge:
    """Answers trials by asking a VLM one kind of question.

    A request without a readable reply leaves its trials unscored: they never count as wrong.
    """

    kind = "judge"

    def __init__(
        self,
        asker: Asker,
        options: JudgeOptions | None = None,
        jobs: int = 4,
        question: TrialQuestion = DETECTION,
        prompt: PromptFile | None = None,
        repair: PromptFile | None = None,
    ) -> None:
        """Keep what is asked, and of which VLM.

        Args:
            asker: The VLM.
            options: How it is shown the trials.
            jobs: Requests at the same time.
            question: The kind of question.
            prompt: A prompt file in the place of the question's.
            repair: A prompt file in the place of the shipped request to repair a reply.
        """
        self.asker, self.options, self.jobs, self.question = asker, options or JudgeOptions(), max(1, jobs), question
        self.together = max(1, self.options.batch)
        self._prompt = prompt or load_prompt(question.prompt)
        self._repair = repair or load_prompt("repair.md.j2")
        self._kept = KeptPictures()
        asker.bear(self.jobs)
        # All threads that call `judge` share this pool, so that no more than `jobs` requests run at once.
        self._pool = ThreadPoolExecutor(self.jobs, thread_name_prefix="judge")
        self.model, self.base_url = asker.model, asker.base_url
        self.prompt_hash = hash_of([self._prompt, self._repair])
        self.config: dict[str, Any] = {
            **asdict(self.options),
            **asker.config,
            "prompt_hash": self.prompt_hash,
            **question.config,
        }

    def judge(self, trials: Sequence[Trial]) -> list[Verdict]:
        """Answer all trials of one label, in their order. Threads may judge several labels at the same time.

        Raises:
            UsageError: The trials are of several labels.
            AutointerpError: Every request would fail, or a budget is reached (`BudgetReached`).
        """
        if len({(t.name, t.explanation) for t in trials}) > 1:
            raise UsageError("the trials of one call must be of one label", "judge each label's trials by themselves")
        batches = self.question.batches(trials, self.together)
        asked = [self._pool.submit(self._batch, batch) for batch in batches]
        # Wait for all requests before one of them raises, so that none is left running.
        wait(asked)
        return [verdict for one in asked for verdict in one.result()]

    def messages(self, trials: Sequence[Trial]) -> list[Message]:
        """Return the request for the trials of one batch."""
        explanation = trials[0].explanation if self.options.explain else ""
        mark: Mark = "dim" if self.question.by_cell and self.options.mark == "heat" else self.options.mark
        told = self._prompt.render(name=trials[0].name, explanation=explanation, count=len(trials), mark=TOLD[mark])
        crops = [(f"Image {number}:", trial.crop) for number, trial in enumerate(trials, 1) if trial.crop is not None]
        form = self.options.image_format
        # Labels share whole pictures, and names share the random cells of their base rates.
        kept = self.question.whole or all(trial.kind == "base" for trial in trials)
        if kept and not self.options.sheet:
            marked = None if self.question.whole else mark
            content = [
                part for heading, crop in crops for part in (text_part(heading), *self._kept.parts(crop, form, marked))
            ]
        else:
            items = [(heading, self.question.views(crop, mark)) for heading, crop in crops]
            content = shown(items, form, self.options.sheet)
        return [{"role": "system", "content": told}, {"role": "user", "content": content}]

    def _batch(self, trials: Sequence[Trial]) -> list[Verdict]:
        """Ask one request; without a readable reply its trials get the reason."""
        ask, messages = self.question, self.messages(trials)
        try:
            reply = ask_for_reply(self.asker, messages, ask.schema, ask.form, ask.purpose, self._repair)
            return ask.read(reply, trials)
        except WaitsForBatch:
            return [Verdict(trial, waits=True) for trial in trials]
        except (AskFailed, ValueError) as error:
            if isinstance(error, ValueError):
                self.asker.reject(messages, ask.schema, f"it does not fit: {error}")
            return [Verdict(trial, error=clean(str(error), REASON)) for trial in trials]
