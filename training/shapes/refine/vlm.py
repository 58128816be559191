"""Second training of the language model of shapes-vlm, from its shipped weights on; its eyes stay as they are given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from typing_extensions import override

from autointerp.progress import Progress
from training.shapes.loop import Average, warm_hold_fall
from training.shapes.refine.questions import RefiningQuestions
from training.shapes.refine.simulated import Directions
from training.shapes.vlm import FULL_RATE, Batch, Schedule, VlmTrainer
from training.shapes.vlm_answers import RowWriter
from training.shapes.vlm_features import KEPT, TOKENS
from training.shapes.vlm_model import VlmModule
from training.shapes.vlm_pool import Pool
from training.shapes.vlm_requests import Views

PARTS = 0.1
"""Share of the steps in which replies to naming questions have their parts, so that they are not forgotten."""
OF_MARKS = 0.8
"""Share of the steps whose judging questions are about marks."""
OF_COMMON = 0.3
"""What it weighs how often words have held so far and what is common, of which the heads begin anew."""
HEADS = ("counted", "common", "fits")


@dataclass(frozen=True)
class RefiningPlan:
    """How much is taught.

    Attributes:
        steps: Steps in all.
        full: Of these, the last ones, which show all patches.
        features: Simulated features that are asked about.
        rate: Peak rate.
        labels: Questions for a name in a step.
        full_labels: The same in a step that shows all patches.
        judged_tokens: Tokens of questions to a judge in a step.
        full_judged_tokens: The same in a step that shows all patches.
    """

    steps: int = 2100
    full: int = 430
    features: int = 1500
    rate: float = 8e-4
    labels: int = 12
    full_labels: int = 6
    judged_tokens: int = 1400
    full_judged_tokens: int = 2600


class VlmRefiner(VlmTrainer):
    """Naming and judging questions in each of `steps` steps; in the last `full` all patches are shown, as in use.

    A judge is asked about one picture a request, as it is in use.
    """

    name = "refine-vlm"

    def __init__(
        self,
        pool: Pool,
        model: VlmModule,
        tokenizer: Any,
        plan: RefiningPlan = RefiningPlan(),
        seed: int = 0,
        progress: Progress | None = None,
    ) -> None:
        torch.manual_seed(seed)
        self._begin(pool, Schedule(plan.steps, 0, 0, plan.full), Batch(), seed, progress)
        self.plan = plan
        self._looked_at = pool
        bank = Directions(pool, self._markable).bank(plan.features, seed, progress)
        self.questions, self.views_of = RefiningQuestions(pool, self._markable, bank), Views(pool)
        self.tokenizer, self._writer, self.model = tokenizer, RowWriter(tokenizer), model
        model.eyes.requires_grad_(False)
        heads = [p for name in HEADS for p in getattr(model, name).parameters()]
        taught = [p for p in model.vlm.parameters() if p.requires_grad]
        groups = [{"params": taught, "lr": plan.rate}, {"params": heads, "lr": 3 * plan.rate}]
        self.optimizer = torch.optim.AdamW(groups, weight_decay=0.01, betas=(0.9, 0.98))
        self.average = Average(model, 0.99)
        self.parts = {"model": model, "optimizer": self.optimizer, "average": self.average}

    @override
    def step(self, index: int) -> str:
        """One batch of naming and one of judging questions."""
        self._set_rate(index)
        losses = self._answer(np.random.default_rng((self.seed, 84, index)), index)
        self._learn(torch.stack(list(losses.values())).sum())
        return " ".join(f"{what} {float(part.detach()):.3f}" for what, part in losses.items())

    @override
    def _set_rate(self, index: int) -> None:
        begin = self.steps - self.full
        if index < begin:
            warm_hold_fall(self.optimizer, index, begin, 60, fall=0.6)
            return
        warm_hold_fall(self.optimizer, index - begin, self.full, 10, fall=0.7)
        for group in self.optimizer.param_groups:
            group["lr"] *= FULL_RATE

    @override
    def _answer(self, rng: np.random.Generator, index: int) -> dict[str, torch.Tensor]:
        full, sizes = index >= self.steps - self.full, self.plan
        parts = bool(rng.random() < PARTS)
        # Twenty cells and three pictures in which the feature is silent is what labelers show, where there are enough.
        crops = 20 if rng.random() < 0.7 else int(rng.integers(4, 20))
        negatives = 3 if rng.random() < 0.85 else int(rng.integers(0, 3))
        rows = (sizes.full_labels if full else sizes.labels) // (2 if parts else 1)
        named = [q for _ in range(rows) if (q := self.questions.label(rng, crops, negatives))]
        marked = bool(rng.random() < OF_MARKS)
        patches = KEPT if marked and not full else TOKENS - 1
        tokens = sizes.full_judged_tokens if full else sizes.judged_tokens
        judged_rows = max(tokens // (32 + patches + 2), 2)
        judged = [j for _ in range(judged_rows) if (j := self.questions.judge(rng, 1, marked))]
        naming, common = self._loss(named, rng, None if full else KEPT, 0.3 * parts)
        judging, fits = self._loss(judged, rng, None if full else patches)
        return {"naming": naming, "judging": 2 * judging, "common": OF_COMMON * common, "fits": fits}
