"""Steps of a plan that ask a model, with estimates of their calls, pictures, tokens and cost."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil

from autointerp.labeling.asking.allowances import thinks
from autointerp.labeling.asking.prices import BATCH_SHARE, PICTURE_TOKENS, PRICES, load_price
from autointerp.labeling.judging.generative import OWN_IMAGES, UNRELATED_IMAGES
from autointerp.labeling.judging.methods import Method
from autointerp.labeling.labelers.apart import OTHER_CELLS, OWN_CELLS
from autointerp.labeling.labelers.feature_messages import VlmOptions
from autointerp.labeling.labelers.words import WordsOptions
from autointerp.labeling.namesakes import NAMESAKES
from autointerp.project.context import Context
from autointerp.project.labelers import LabelerRequest
from autointerp.project.plan import Step

_REQUEST_TOKENS = 700
"""Tokens of a request to a remote model, without its pictures."""
_LABEL_TOKENS, _VERDICT_TOKENS = 200, 50
"""Tokens of its reply: a label, or the verdicts on some trials."""
_THOUGHT_TOKENS = 1500
"""Tokens of the thoughts before a reply, of a model that thinks."""


@dataclass(frozen=True)
class ScoreCount:
    """How many labels a step scores, by their own words and by the words of others, and how many names they have."""

    own: int
    shuffled: int = 0
    names: int = 0

    @property
    def total(self) -> int:
        """All scores of the step."""
        return self.own + self.shuffled


class StepEstimates:
    """Makes the steps of one command's plan.

    Args:
        ctx: The command's view of the workspace.
        request: The labeler and judge that the command asks for.
    """

    def __init__(self, ctx: Context, request: LabelerRequest) -> None:
        self.ctx, self.request = ctx, request

    def label_step(self, kind: str, dictionary: str, count: int) -> Step:
        """Return the step that labels `count` features of a dictionary by a kind of labeler."""
        if kind == "words":
            # Features share pictures, so this is the most.
            images = min(count * WordsOptions().cells, self.ctx.available(self.ctx.settings.images))
            detail = f"{count} features by words, pictures run once more without painting them: at most {images}"
            return Step("label", dictionary, count > 0, detail, images, units=count)
        if kind != "vlm":
            return Step("label", dictionary, count > 0, f"{count} features by {kind}", units=count)
        request, settings, options = self.request, self.ctx.settings, VlmOptions()
        model = request.model or settings.vlm or ""
        detail = f"{count} features by {model or 'a model that is not named yet'}"
        calls = count * (request.candidates or settings.candidates) * (request.clusters or settings.clusters)
        pictures = calls * (options.crops * (2 if options.context else 1) + options.negatives)
        return self._remote(
            Step("label", dictionary, count > 0, detail + (", in batches" if request.batch else ""), units=count),
            model,
            _Requests(calls, pictures, _LABEL_TOKENS),
        )

    def apart_step(self, kind: str, dictionary: str, count: int) -> Step:
        """Return the step that tells at most `count` features apart from those of nearly the same name."""
        detail = f"at most {count} features told from up to {NAMESAKES} of nearly the same name"
        step = Step("apart", dictionary, count > 0, detail, units=count)
        if kind != "vlm":
            return step
        model = self.request.model or self.ctx.settings.vlm or ""
        # The judge is asked about the word that a name gains, in as many cells as a score shows.
        asked = self.ctx.settings.gain.questions
        calls = count * (1 + ceil(asked / self.ctx.settings.judge_batch))
        pictures = count * (OWN_CELLS + NAMESAKES * OTHER_CELLS + asked)
        return self._remote(step, model, _Requests(calls, pictures, _LABEL_TOKENS))

    def score_step(self, method: Method, dictionary: str, count: ScoreCount, model: str | None = None) -> Step:
        """Return the step that scores labels of a dictionary by a method.

        Args:
            method: The method.
            dictionary: The dictionary's name.
            count: How many labels are scored.
            model: The remote model that judges, empty where it is not named yet; None where no remote model does.
        """
        control = f" and {count.shuffled} shuffled" if count.shuffled else ""
        detail = f"{method.name} score of {count.own} labels{control}"
        step = Step("score", dictionary, count.total > 0, detail, units=count.total, part=f"{method.name} score")
        if method.answered_by == "model":
            # A shuffled label has the words of another label, whose pictures are generated anyway.
            images = count.own * OWN_IMAGES + (UNRELATED_IMAGES if count.total else 0)
            return replace(step, images=images)
        if method.question is None:
            return step
        question, batch = method.question, self.ctx.settings.judge_batch
        if question.shared and count.total:
            asked = f"at most {question.trials} questions each and {question.shared} a name"
            step = replace(step, detail=f"{detail}, {asked}", bound=True)
        if model is None:
            return step
        # What all labels of a name share is asked once a name.
        calls = count.total * question.requests(batch) + count.names * ceil(question.shared / batch)
        pictures = count.total * question.trials + count.names * question.shared
        return self._remote(step, model, _Requests(calls, pictures, _VERDICT_TOKENS))

    def _remote(self, step: Step, model: str, requests: _Requests) -> Step:
        """Return a step with its requests; the cost is None where the model or its price is not known."""
        price = load_price(model, self.ctx.workspace.path / PRICES) if model else None
        picture_tokens = price.picture if price else PICTURE_TOKENS
        tokens = requests.calls * _REQUEST_TOKENS + requests.pictures * picture_tokens
        replies = requests.calls * (requests.reply_tokens + (_THOUGHT_TOKENS if thinks(model) else 0))
        share = BATCH_SHARE if self.request.batch else 1
        return replace(
            step,
            calls=requests.calls,
            pictures=requests.pictures,
            tokens=tokens + replies,
            cost=None if price is None else price.of(tokens, replies) * share,
        )


@dataclass(frozen=True)
class _Requests:
    """The requests of a step: their number, all their pictures, and the tokens of one reply."""

    calls: int
    pictures: int
    reply_tokens: int
