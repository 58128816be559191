"""Training of shapes-vlm, a LLaVA that answers this project's own prompts about pictures of the world.

First its eyes learn what is marked and what a picture shows, from exact truth; they start as those of shapes-clip.
Then, with the eyes fixed, the projector learns to say what they see in the language model's own words (LLaVA's
alignment, arXiv 2304.08485), and the language model to answer: naming and judging questions in each step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from autointerp.progress import NullProgress, Progress
from training.shapes.clip import to_pixels
from training.shapes.loop import Average, generator, warm_hold_fall
from training.shapes.phrases import PATCHES
from training.shapes.vlm_answers import RowWriter, binary_loss, draw_spelling, reply_loss, save_vlm
from training.shapes.vlm_features import (
    KEPT,
    TOKENS,
    WORDS,
    Features,
    markable_cells,
    words_at,
    words_of_picture,
)
from training.shapes.vlm_looking import STEP, draw_views, looking_loss, start_eyes
from training.shapes.vlm_model import CONCEPT_WORDS, VlmModule, new_processor
from training.shapes.vlm_pool import Pool, joined
from training.shapes.vlm_questions import ApartQuestion, JudgeQuestion, LabelQuestion, Questions, Shown
from training.shapes.vlm_requests import Views, asked
from training.shapes.vlm_text import new_tokenizer

Asked = Sequence[LabelQuestion] | Sequence[JudgeQuestion] | Sequence[ApartQuestion]
"""Questions of one kind."""

FEW = 300
"""Steps of answering, the first ones, with few images a question: what one shows is learned before what many share."""
PARTS = 0.25
"""Share of the steps in which replies to naming questions have their parts."""
COUNTED, COMMON, FITS = 2, 3, 2
"""Layers of the language model after which, while it is trained, it is asked how often each word has held so far, what
is common to the images so far, and which patches the name is true of."""
PATCHES_JUDGED = 12
"""Patches of a whole picture that the language model is shown, in most of its steps, to judge it among others."""
PROMPT_TOKENS = 45
"""Tokens of a judge's question and its answer beside the images, about."""
FULL_RATE = 0.3
"""Share of the rate at which it then learns to be shown all patches of all pictures."""


@dataclass(frozen=True)
class Schedule:
    """How many of a training's steps go to what."""

    steps: int = 26_850
    """In all."""
    looking: int = 6000
    """The first ones, which teach the eyes alone."""
    aligning: int = 500
    """The next ones, which teach the words of what the eyes see."""
    full: int = 600
    """The last ones, which show all patches of all pictures."""


@dataclass(frozen=True)
class Batch:
    """What one step sees."""

    labels: int = 16
    """Questions for a label."""
    judged_tokens: int = 1600
    """Tokens of questions to a judge."""
    views: int = 48
    """Marked views, while the eyes learn."""


class VlmTrainer:
    """The eyes for `looking` steps, then for `aligning` steps the words of what they see, then answers.

    In the last `full` of all `steps` it is shown all patches of all pictures, as in use.
    """

    name = "vlm"

    def __init__(
        self,
        pool: Pool,
        schedule: Schedule = Schedule(),
        batch: Batch = Batch(),
        seed: int = 0,
        rate: float = 2e-3,
        progress: Progress | None = None,
    ) -> None:
        torch.manual_seed(seed)
        self._begin(pool, schedule, batch, seed, progress)
        # The eyes learn from twice as many pictures; the first half is the pool, so that views serve for both.
        self._looked_at = joined([pool, pool.mirrored()])
        self.questions, self.views_of = Questions(pool, self._markable), Views(self._looked_at)
        self.tokenizer = new_tokenizer()
        self._writer = RowWriter(self.tokenizer)
        self.model = VlmModule(self.tokenizer, len(pool.concepts))
        start_eyes(self.model.eyes)
        # AdamW alone: Muon's bfloat16 costs more than the rest of a step on processors that only emulate it.
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=rate, weight_decay=0.01, betas=(0.9, 0.98))
        self.average = Average(self.model, 0.995)
        self.parts = {"model": self.model, "optimizer": self.optimizer, "average": self.average}
        # A word at the beginning of a name is another token than the same word behind a space.
        self._words = torch.tensor([[*self._writer.ids(word), *self._writer.ids(f" {word}")] for word in WORDS])

    def _begin(self, pool: Pool, schedule: Schedule, batch: Batch, seed: int, progress: Progress | None) -> None:
        """Keep what is asked about, and how much."""
        self.pool, self.batch, self.seed = pool, batch, seed
        self.steps, self.looking, self.aligning = schedule.steps, schedule.looking, schedule.aligning
        self.full = max(0, min(schedule.full, self.steps - self.looking - self.aligning))
        self._markable = markable_cells(pool, seed)
        self._progress = progress or NullProgress()

    def step(self, index: int) -> str:
        """One batch of views for the eyes, or one of naming and one of judging questions."""
        rng = np.random.default_rng((self.seed, 65, index))
        looking = index < self.looking
        if looking:
            warm_hold_fall(self.optimizer, index, self.looking, 50)
            loss = self._look(rng, index)
            note = f"looking {float(loss.detach()):.3f}"
        else:
            self._set_rate(index)
            self.model.eyes.requires_grad_(False)
            if index == self.looking:
                self._set_projector()
            if index - self.looking < self.aligning:
                loss = self._align(rng)
                note = f"aligning {float(loss.detach()):.3f}"
            else:
                losses = self._answer(rng, index)
                loss = torch.stack(list(losses.values())).sum()
                note = " ".join(f"{what} {float(part.detach()):.3f}" for what, part in losses.items())
        self._learn(loss)
        return note

    def _learn(self, loss: torch.Tensor) -> None:
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.average.update()

    def _set_rate(self, index: int) -> None:
        """The rate rises, holds and falls twice: for answering, and less high once all patches are shown."""
        begin = self.steps - self.full
        if index < begin:
            warm_hold_fall(self.optimizer, index - self.looking, begin - self.looking, 100)
            return
        warm_hold_fall(self.optimizer, index - begin, self.full, 20, fall=0.7)
        for group in self.optimizer.param_groups:
            group["lr"] *= FULL_RATE

    # The eyes.

    def _look(self, rng: np.random.Generator, index: int) -> torch.Tensor:
        shown = draw_views(self._looked_at, self.batch.views, rng)
        pixels = to_pixels(self.views_of(shown))
        draw = generator(self.seed, index)
        pixels = pixels * (1 + 0.03 * torch.randn(len(pixels), 1, 1, 1, generator=draw))
        pixels = pixels + 0.03 * torch.randn(len(pixels), 3, 1, 1, generator=draw)
        return looking_loss(self.model, self._looked_at, shown, self.model.eyes(pixels).last_hidden_state)

    @torch.no_grad()
    def _look_at(self, shown: Sequence[Shown]) -> torch.Tensor:
        return self.model.eyes(to_pixels(self.views_of(shown))).last_hidden_state

    @cached_property
    def _features(self) -> Features:
        """What the eyes see; asked for only when they are fixed."""
        views = len(self.pool) + int(self._markable.sum())
        self._progress.note(f"the eyes look at {views} views, once")
        return Features(self.pool, self._markable, self._look_at, self.seed)

    # The language model's words.

    @torch.no_grad()
    def _set_projector(self) -> None:
        """Begin with features of mean 0 and deviation 1: the language model's own vectors are small beside raw ones.

        Vectors that are large hardly change from layer to layer, so that nothing could be found out at their places.
        """
        features = torch.cat([self._features.marks.flatten(0, 1), self._features.wholes.flatten(0, 1)]).float()
        first = self.model.vlm.model.multi_modal_projector.linear_1
        first.weight /= features.std(0)
        first.bias -= first.weight @ features.mean(0)

    def _align(self, rng: np.random.Generator) -> torch.Tensor:
        """Cross-entropy of the words that image tokens say, if read as the language model's last vectors are."""
        seen, pool = self._features, self.pool
        marks = rng.integers(len(seen.cells), size=256)
        wholes = rng.integers(len(pool), size=32)
        picture, row, col = seen.cells[marks].T
        down, right = np.stack(np.divmod(np.arange(TOKENS - 1), PATCHES)) * STEP + STEP // 2
        kept = seen.tokens[marks, 1:].reshape(-1) - 1
        groups = [
            (seen.marks[marks, 0], words_at(pool, picture, row, col)),
            (seen.marks[marks, 1:], words_at(pool, picture.repeat(KEPT), down[kept], right[kept])),
            (seen.wholes[wholes, 0], self._words_of_picture[wholes]),
            (
                seen.wholes[wholes, 1:],
                words_at(pool, wholes.repeat(TOKENS - 1), np.tile(down, len(wholes)), np.tile(right, len(wholes))),
            ),
        ]
        losses = [self._say(x.reshape(len(words), -1).float(), torch.from_numpy(words)) for x, words in groups]
        return torch.stack(losses).mean()

    @cached_property
    def _words_of_picture(self) -> np.ndarray:
        return words_of_picture(self.pool)

    def _say(self, features: torch.Tensor, words: torch.Tensor) -> torch.Tensor:
        """Cross-entropy of the words that features [n, width] say; `words` bool [n, words] are all as right."""
        vlm = self.model.vlm
        said = vlm.lm_head(vlm.model.language_model.norm(vlm.model.multi_modal_projector(features))).log_softmax(-1)
        wanted = words.float() / words.sum(1, keepdim=True)
        return -(said[:, self._words].mean(-1) * wanted).sum(1).mean()

    # The answers.

    def _answer(self, rng: np.random.Generator, index: int) -> dict[str, torch.Tensor]:
        """Losses of naming and judging, and of what is found out on the way to each."""
        full = index >= self.steps - self.full
        few = index - self.looking - self.aligning < FEW
        crops = int(rng.integers(12, 21)) if rng.random() < 0.85 else int(rng.integers(3, 12))
        crops = int(rng.integers(1, 4)) if few else crops
        negatives = int(rng.integers(0, 2)) if few else 3 if rng.random() < 0.7 else int(rng.integers(0, 3))
        # The parts are most of a reply, so that most steps go without them. Long steps have fewer questions.
        parts = few or bool(rng.random() < (0.5 if full else PARTS))
        rows = self.batch.labels // 2 if (parts or full) and not few else self.batch.labels
        named = [q for _ in range(rows) if (q := self.questions.label(rng, crops, negatives))]
        # One picture a question most often: it says the most about how names and pictures go together.
        count = int(rng.choice([1, 2, 4, 8], p=[0.75, 0.1, 0.1, 0.05]))
        marked = bool(rng.random() < 0.3)
        patches = KEPT if marked else TOKENS - 1 if count == 1 else PATCHES_JUDGED
        rows = max(self.batch.judged_tokens // (PROMPT_TOKENS + count * (patches + 2)), 2)
        judged = [j for _ in range(rows) if (j := self.questions.judge(rng, count, marked))]
        naming, common = self._loss(named, rng, None if full else KEPT, 2.0 if few else 0.3 * parts)
        judging, fits = self._loss(judged, rng, None if full else patches)
        return {"naming": naming, "judging": judging, "common": common, "fits": fits}

    def _loss(
        self,
        questions: Asked,
        rng: np.random.Generator,
        patches: int | None,
        of_parts: float = 0.0,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Cross-entropy of the replies, see `RowWriter`, and of what is found out on the way, see `_found_out`.

        Of whole pictures so many `patches` are shown (None: all). Replies end before their parts if those weigh
        nothing.
        """
        # Prompts may be changed: sometimes lines of them are spelled out, or left out.
        spelling = draw_spelling(rng)
        rows, shown = [], []
        for question in questions:
            told, below = asked(question)
            headings = [(heading, len(views)) for heading, views in below]
            rows.append(self._writer.row(told, headings, question.reply, of_parts, spelling, rng))
            shown += [s for _, views in below for s in views]
        if patches is None:
            chosen = np.ones((len(shown), TOKENS), bool)
            features = self._look_at(shown).flatten(0, 1)
        else:
            chosen, features = self._features.of(shown, rng, patches)
        loss, at_images = reply_loss(
            self.model.vlm, rows, self._writer.image, self.tokenizer.pad_token_id, chosen, features
        )
        return loss, self._found_out(questions, at_images, chosen)

    def _found_out(
        self,
        questions: Asked,
        at_images: Sequence[torch.Tensor],
        chosen: np.ndarray,
    ) -> torch.Tensor:
        """Cross-entropy of what layers within should know at the images' tokens.

        At the end of each example, how often each word has held so far and what is common to them; at each patch of a
        picture to judge, in how much of it the name is true. `at_images`: the layers' vectors [tokens, width];
        `chosen`: which tokens of each image these are, bool [images, TOKENS].
        """
        first = questions[0]
        if isinstance(first, ApartQuestion):
            return torch.zeros(())
        if isinstance(first, LabelQuestion):
            ends = torch.from_numpy(chosen.sum(1).cumsum() - 1).reshape(len(questions), -1)[:, : len(first.crops)]
            counted, common = self._so_far([q for q in questions if isinstance(q, LabelQuestion)])
            return binary_loss(self.model.counted(at_images[COUNTED][ends]), counted) / 8 + binary_loss(
                self.model.common(at_images[COMMON][ends]), common
            )
        if first.shown[0].cell:
            return torch.zeros(())
        where = np.concatenate([q.where for q in questions if isinstance(q, JudgeQuestion)])
        share = where.reshape(len(where), PATCHES, STEP, PATCHES, STEP).mean((2, 4)).reshape(len(where), -1)
        patch = torch.from_numpy(chosen.nonzero()[1] > 0)
        wanted = torch.from_numpy(share[chosen[:, 1:]].astype(np.float32))[:, None]
        return 2 * binary_loss(self.model.fits(at_images[FITS][patch]), wanted)

    def _so_far(self, questions: Sequence[LabelQuestion]) -> tuple[torch.Tensor, torch.Tensor]:
        """After each crop, the share in which each word of `WORDS` has held, and which words the common concept has.

        Two float32 [questions, crops, words]; the last of the second says that there is none.
        """
        cells = np.array([[(s.picture, *s.cell) for s in question.crops if s.cell] for question in questions])
        hold = words_at(self.pool, *cells.reshape(-1, 3).T).reshape(*cells.shape[:2], -1)
        share = hold.cumsum(1) / np.arange(1, cells.shape[1] + 1)[:, None]
        common = np.zeros((*cells.shape[:2], len(CONCEPT_WORDS) + 1), np.float32)
        for i, question in enumerate(questions):
            for n, concept in enumerate(question.common):
                common[i, n, [CONCEPT_WORDS.index(word) for word in concept.words] if concept else [-1]] = 1
        return torch.from_numpy(share.astype(np.float32)), torch.from_numpy(common)

    def save(self, folder: Path) -> None:
        """Write the averaged model, half precision, with its processor, tokenizer and chat template."""
        self.average.swap()
        save_vlm(self.model.vlm, new_processor(self.tokenizer), folder)
        self.average.swap()
