"""Third training of shapes-vlm: more words, and what tells features apart, with all that it knew before.

The eyes were taught the words first (`eyes.py`) and stay as they are. First the projector and the vectors of the words
learn which words hold at a mark, while all else is fixed (LLaVA's alignment, arXiv 2304.08485). Then names of few cells
are asked for, and judging: many questions a second, as a word must be asked about often. Then, if wanted, what tells
features apart. Then all questions are asked as in use, half of them those of the second training, about pictures of the
world. All patches are shown, but for features to tell apart before the last part, and for further names of many cells:
words that are learned of one token a mark alone are not found among more, and words that are asked about seldom are not
learned, so each step asks in both ways.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from typing_extensions import override

from autointerp.progress import Progress
from training.shapes.loop import Average
from training.shapes.refine.questions import RefiningQuestions
from training.shapes.refine.simulated import Directions
from training.shapes.refine.vlm import OF_COMMON, OF_MARKS, RefiningPlan, VlmRefiner
from training.shapes.vlm import COMMON, COUNTED, PROMPT_TOKENS, Asked, Batch, Schedule
from training.shapes.vlm_answers import RowWriter, binary_loss
from training.shapes.vlm_features import TOKENS, Features, markable_cells
from training.shapes.vlm_model import VlmModule, reading_head
from training.shapes.vlm_pool import Pool
from training.shapes.vlm_questions import ApartQuestion, Shown
from training.shapes.vlm_requests import Views
from training.shapes.wide.apart import OTHERS, ApartQuestions
from training.shapes.wide.marks import MarkBank
from training.shapes.wide.pool import WidePool
from training.shapes.wide.questions import WideLabelQuestion, WideQuestions
from training.shapes.wide.sayings import phrase
from training.shapes.wide.words import INDEX, NEVER_SEEN, WORDS

APART_OF_WIDE = 0.15
"""Share of the steps whose features to tell apart are of the wider world."""
OF_WORDS = 0.5
"""What it weighs that the projector says, in the language model's own words, what is at a mark."""
WIDE_MARKS = 7, 4
"""Cells of a render of the wider world that may be marked, at most: of its objects, and elsewhere."""
_WORD_OF = {phrase((("", word),)): word for word in WORDS}
"""Each word of the wider world by how it is said alone."""
MARKS_SAID = 192
"""Marks of a step of which the projector says this."""
MARKS_ALIGNED = 768
"""The same in a step that teaches nothing else."""
SPARSE = (0, 0, 1, 2)
"""How many patches a question shows of each picture, drawn from these, where it shows few."""


@dataclass(frozen=True)
class WidePlan(RefiningPlan):
    """How much is taught; see `RefiningPlan` for the rest, which is about pictures of the world.

    Attributes:
        aligning: The first steps, in which the projector and the vectors of the words learn alone.
        naming: The next ones, in which names of few cells are asked for, and judging.
        named_tokens: Tokens of the questions for a name that show all patches in such a step, of each world.
        sparse_tokens: Tokens of those of the wider world that show few patches: four times as many questions for them.
        judged: Questions to a judge in such a step, of each world: what is not asked is forgotten.
        telling: The next ones, which ask what tells features apart, and half as much of the above.
        told: Questions what tells features apart, of such a step.
        wide_labels: Questions for a name in words of the wider world, in a later step.
        apart: Questions what tells features apart, in a later step.
        wide_judged: Questions to a judge in words of the wider world, in a later step.
    """

    steps: int = 4300
    aligning: int = 400
    naming: int = 2800
    named_tokens: tuple[int, int] = (3000, 4500)
    sparse_tokens: int = 5000
    judged: int = 12
    telling: int = 0
    told: int = 24
    full: int = 1100
    wide_labels: int = 8
    apart: int = 0
    wide_judged: int = 14


class WideModule(VlmModule):
    """The model, with heads that count words of the wider world and say which are common."""

    def __init__(self, vlm: torch.nn.Module, tokenizer: Any, concepts: int) -> None:
        super().__init__(tokenizer, concepts)
        self.vlm = vlm
        width = self.vlm.config.text_config.hidden_size
        self.wide_counted = reading_head(width, len(WORDS))
        self.wide_common = reading_head(width, len(WORDS) + 1)


class WideTrainer(VlmRefiner):
    """Questions about the world, as in the second training, and about the wider world, in each of `steps` steps."""

    name = "widen-vlm"

    def __init__(
        self,
        own: Pool,
        pool: WidePool,
        model: WideModule,
        tokenizer: Any,
        plan: WidePlan = WidePlan(),
        seed: int = 0,
        progress: Progress | None = None,
    ) -> None:
        """Prepare to train.

        Args:
            own: Pictures of the world.
            pool: The same pictures, then renders of the wider world.
            model: The model, its eyes taught.
            tokenizer: Its tokenizer.
            plan: How much is taught.
            seed: Of all that is drawn.
            progress: Where preparations report to.
        """
        torch.manual_seed(seed)
        self._begin(own, Schedule(plan.steps, 0, 0, plan.full), Batch(), seed, progress)
        self.plan: WidePlan = plan
        # What may be marked depends on where objects are, alone.
        self._every = Pool(pool.pictures, {"part": np.where(pool.cells.owner >= 0, 0, -1)})
        self._looked_at = self._every
        few = markable_cells(self._every, seed, *WIDE_MARKS)
        self._every_markable = np.concatenate([self._markable, few[len(own) :]])
        bank = Directions(own, self._markable).bank(plan.features, seed, progress)
        self.questions, self.views_of = RefiningQuestions(own, self._markable, bank), Views(self._every)
        self.marks = MarkBank(pool, self._every_markable)
        self.wide_questions = WideQuestions(self.marks)
        self.apart_questions = {wide: ApartQuestions(self.marks, wide) for wide in (False, True)}
        self.tokenizer, self._writer, self.model = tokenizer, RowWriter(tokenizer), model
        self._single = [w for w in WORDS if len(self._writer.ids(w)) == 1 and w not in (*NEVER_SEEN, "background")]
        self._tokens = torch.tensor([[*self._writer.ids(w), *self._writer.ids(f" {w}")] for w in self._single])
        self._counted, self._common = model.wide_counted, model.wide_common
        model.eyes.requires_grad_(False)
        heads = (model.counted, model.common, model.fits, model.wide_counted, model.wide_common)
        taught = [p for p in model.vlm.parameters() if p.requires_grad]
        groups = [
            {"params": taught, "lr": plan.rate},
            {"params": [p for head in heads for p in head.parameters()], "lr": 3 * plan.rate},
        ]
        self.optimizer = torch.optim.AdamW(groups, weight_decay=0.01, betas=(0.9, 0.98))
        self.average = Average(model, 0.99)
        self.parts = {"model": model, "optimizer": self.optimizer, "average": self.average}

    @cached_property
    @override
    def _features(self) -> Features:
        """What the eyes see of all pictures."""
        self._progress.note(f"the eyes look at {len(self._every) + len(self.marks)} views, once")
        return Features(self._every, self._every_markable, self._look_at, self.seed, kept=TOKENS - 1)

    @override
    def _answer(self, rng: np.random.Generator, index: int) -> dict[str, torch.Tensor]:
        plan = self.plan
        if index < plan.aligning:
            return {"words": self._words_of_marks(rng, MARKS_ALIGNED)}
        if index < plan.aligning + plan.naming:
            return self._names(rng)
        if index < plan.aligning + plan.naming + plan.telling:
            return self._names(rng, 2) | self._told_apart(rng, plan.told, 0)
        losses = super()._answer(rng, index)
        crops, negatives = _sizes(rng)
        named = _drawn(lambda: self.wide_questions.label(rng, crops, negatives), plan.wide_labels)
        judged = _drawn(lambda: self.wide_questions.judge(rng), plan.wide_judged)
        naming, common = self._loss(named, rng, None)
        losses |= {"wide naming": naming, "wide common": OF_COMMON * common}
        losses["wide judging"], _ = self._loss(judged, rng, None)
        losses |= self._sparse(rng, 2)
        if plan.apart:
            losses |= self._told_apart(rng, plan.apart, None)
        losses["words"] = OF_WORDS * self._words_of_marks(rng, MARKS_SAID)
        return losses

    @override
    def _loss(
        self, questions: Asked, rng: np.random.Generator, patches: int | None, of_parts: float = 0.0
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """See `VlmTrainer._loss`; all patches of what may be marked are kept, so the eyes need not look again."""
        return super()._loss(questions, rng, TOKENS - 1 if patches is None else patches, of_parts)

    def _told_apart(self, rng: np.random.Generator, count: int, patches: int | None) -> dict[str, torch.Tensor]:
        """Losses of what is said to tell features apart."""
        told, found = self._loss(self._drawn_apart(rng, count), rng, patches)
        return {"apart": told, "apart found": OF_COMMON * found}

    def _drawn_apart(self, rng: np.random.Generator, count: int) -> list[ApartQuestion]:
        """Draw questions what tells features apart, all in one world and with as many namesakes."""
        others = 1 + int(rng.choice(len(OTHERS), p=OTHERS))
        questions = self.apart_questions[bool(rng.random() < APART_OF_WIDE)]
        return _drawn(lambda: questions.draw(rng, others), count)

    def _names(self, rng: np.random.Generator, fewer: int = 1) -> dict[str, torch.Tensor]:
        """Losses of names of few cells, and of judging, in both worlds.

        `fewer` divides the number of questions.
        """
        losses: dict[str, torch.Tensor] = {}
        for what, draw, tokens in zip(
            ("", "wide "), (self.questions.label, self.wide_questions.label), self.plan.named_tokens, strict=True
        ):
            crops, negatives = _few(rng)
            count = tokens // (PROMPT_TOKENS + (crops + negatives) * (TOKENS + 2)) // fewer
            asked = _drawn(lambda draw=draw, crops=crops, negatives=negatives: draw(rng, crops, negatives), count)
            naming, common = self._loss(asked, rng, None)
            losses |= {f"{what}naming": naming, f"{what}common": OF_COMMON * common}
        losses |= self._sparse(rng, fewer)
        marked = bool(rng.random() < OF_MARKS)
        judges = (lambda: self.questions.judge(rng, 1, marked)), (lambda: self.wide_questions.judge(rng))
        for what, judge in zip(("", "wide "), judges, strict=True):
            losses[f"{what}judging"], _ = self._loss(_drawn(judge, self.plan.judged // fewer), rng, None)
        losses["words"] = OF_WORDS * self._words_of_marks(rng, MARKS_SAID)
        return losses

    def _sparse(self, rng: np.random.Generator, fewer: int = 1) -> dict[str, torch.Tensor]:
        """Losses of names in words of the wider world, of many cells with few patches each; see `_names`."""
        crops, negatives = _sizes(rng)
        patches = int(rng.choice(SPARSE))
        count = self.plan.sparse_tokens // (PROMPT_TOKENS + (crops + negatives) * (patches + 3)) // fewer
        asked = _drawn(lambda: self.wide_questions.label(rng, crops, negatives), count)
        naming, common = self._loss(asked, rng, patches)
        return {"sparse naming": naming, "sparse common": OF_COMMON * common}

    @override
    def _found_out(
        self,
        questions: Asked,
        at_images: Sequence[torch.Tensor],
        chosen: np.ndarray,
    ) -> torch.Tensor:
        """See `VlmTrainer._found_out`; of the wider world, what is common is known at the last crop alone.

        Of features to tell apart: at each example how often each word has held in the feature so far, and at the last
        one what the first feature has alone.
        """
        first = questions[0]
        if isinstance(first, ApartQuestion):
            told = [q for q in questions if isinstance(q, ApartQuestion)]
            ends = torch.from_numpy(chosen.sum(1).cumsum() - 1).reshape(len(told), -1)
            share = np.stack([np.concatenate([self._so_far_in(group) for group in (q.own, *q.others)]) for q in told])
            alone = np.zeros((len(told), len(WORDS) + 1), np.float32)
            for i, asked_apart in enumerate(told):
                alone[i, INDEX[_WORD_OF[asked_apart.difference]] if asked_apart.difference else -1] = 1
            counted = self._counted(at_images[COUNTED][ends])
            said = self._common(at_images[COMMON][ends[:, -1]])
            return binary_loss(counted, torch.from_numpy(share)) / 8 + binary_loss(said, torch.from_numpy(alone))
        if not isinstance(first, WideLabelQuestion):
            return super()._found_out(questions, at_images, chosen)
        asked = [q for q in questions if isinstance(q, WideLabelQuestion)]
        ends = torch.from_numpy(chosen.sum(1).cumsum() - 1).reshape(len(asked), -1)[:, : len(first.crops)]
        cells = np.array([[(s.picture, *(s.cell or (0, 0))) for s in q.crops] for q in asked])
        hold = self.marks.pool.cells.atoms_at(*cells.reshape(-1, 3).T)[:, : len(WORDS)].reshape(*cells.shape[:2], -1)
        share = hold.cumsum(1) / np.arange(1, cells.shape[1] + 1)[:, None]
        common = np.zeros((len(asked), len(WORDS) + 1), np.float32)
        for i, question in enumerate(asked):
            common[i, [INDEX[word] for _, word in question.spoken.atoms] or [-1]] = 1
        counted = self._counted(at_images[COUNTED][ends])
        said = self._common(at_images[COMMON][ends[:, -1]])
        return binary_loss(counted, torch.from_numpy(share.astype(np.float32))) / 8 + binary_loss(
            said, torch.from_numpy(common)
        )

    def _so_far_in(self, cells: Sequence[Shown]) -> np.ndarray:
        """After each of a feature's cells, the share of them in which each word has held, float32 [cells, WORDS]."""
        where = np.array([(s.picture, *(s.cell or (0, 0))) for s in cells])
        hold = self.marks.pool.cells.atoms_at(*where.T)[:, : len(WORDS)]
        found: np.ndarray = hold.cumsum(0) / np.arange(1, len(cells) + 1)[:, None]
        return found.astype(np.float32)

    def _words_of_marks(self, rng: np.random.Generator, count: int) -> torch.Tensor:
        """Cross-entropy of the words that hold at `count` marks, as the projector says them."""
        marks = rng.integers(len(self.marks), size=count)
        wanted = torch.from_numpy(self.marks.holds[marks][:, [INDEX[word] for word in self._single]].astype(np.float32))
        vlm = self.model.vlm
        projected = vlm.model.multi_modal_projector(self._features.marks[marks, 0].float())
        said = vlm.lm_head(vlm.model.language_model.norm(projected)).log_softmax(-1)[:, self._tokens].mean(-1)
        return -(said * wanted / wanted.sum(1, keepdim=True).clamp(min=1)).sum(1).mean()


def _sizes(rng: np.random.Generator) -> tuple[int, int]:
    """Draw how many cells a question for a name shows, and how many pictures in which the feature is silent."""
    return 20 if rng.random() < 0.6 else int(rng.integers(5, 20)), 3 if rng.random() < 0.85 else int(rng.integers(0, 3))


def _few(rng: np.random.Generator) -> tuple[int, int]:
    """Draw the same for many questions: few cells most often, and sometimes as many as in use."""
    return (int(rng.integers(4, 10)), int(rng.integers(0, 2))) if rng.random() < 0.8 else (20, 3)


def _drawn(draw: Any, count: int) -> list[Any]:
    """Return so many questions; those that cannot be asked are drawn again."""
    found: list[Any] = []
    while len(found) < max(count, 1):
        question = draw()
        if question is not None:
            found.append(question)
    return found
