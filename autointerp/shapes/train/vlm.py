"""Training of shapes-vlm, a LLaVA that answers this project's own prompts about pictures of the world.

First its eyes learn what is marked and what a picture shows, from exact truth; they start as those of shapes-clip.
Then, with the eyes fixed, the projector learns to say what they see in the language model's own words (LLaVA's
alignment, arXiv 2304.08485), and the language model to answer: naming and judging questions in each step.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from autointerp.crops.geometry import crop_box
from autointerp.labeling.messages import marked_view, whole_picture
from autointerp.labeling.protocol import CropEvidence
from autointerp.labeling.templates import load_prompt
from autointerp.progress import NullProgress, Progress
from autointerp.shapes.scenes import ATTRIBUTES, GRID, POSITIONS, SIZE
from autointerp.shapes.train.clip import PATCH_CLASSES, image_processor, to_pixels
from autointerp.shapes.train.loop import Average, generator, warm_hold_fall
from autointerp.shapes.train.phrases import PATCH_FIELDS, PATCHES, SIDE as CLIP_SIDE
from autointerp.shapes.train.vlm_features import (
    KEPT,
    TOKENS,
    WORDS,
    Features,
    markable_cells,
    words_at,
    words_of_picture,
)
from autointerp.shapes.train.vlm_pool import Pool, joined
from autointerp.shapes.train.vlm_questions import JudgeQuestion, LabelQuestion, Questions, Shown
from autointerp.shapes.train.vlm_text import CHAT_TEMPLATE, IMAGE, MARK, new_tokenizer, plain_tokenizer
from autointerp.shapes.truth import REGIONS

SIDE = 96
"""Pixels of a picture's side as the eyes get it: all that the world has, twice what shapes-clip is shown of a crop."""
FEW = 300
"""Steps of answering, the first ones, with few images a question: what one shows is learned before what many share."""
OF_PART = 3.0
"""What it weighs whether a mark is on an edge or inside: that is told by a few pixels, all else by many."""
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
STEP = GRID // PATCHES
"""Cells of a patch's side."""
CONCEPT_WORDS = (*(word for values in ATTRIBUTES.values() for word in values), "object", *POSITIONS)
"""Words that concepts are made of."""
MARKED_CLASSES = tuple(len(ATTRIBUTES[name]) + (name == "part") for name in ATTRIBUTES)


def new_vlm(tokenizer: Any, width: int = 128, layers: int = 4) -> Any:
    """An untrained LLaVA: the eyes of shapes-clip's size, a Llama of `layers` layers."""
    from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration

    vision = CLIPVisionConfig(
        hidden_size=128,
        intermediate_size=512,
        num_hidden_layers=4,
        num_attention_heads=4,
        image_size=SIDE,
        patch_size=SIDE // PATCHES,
        hidden_act="gelu",
        projection_dim=128,
    )
    language = LlamaConfig(
        hidden_size=width,
        intermediate_size=3 * width,
        num_hidden_layers=layers,
        num_attention_heads=width // 32,
        num_key_value_heads=width // 32,
        vocab_size=len(tokenizer),
        max_position_embeddings=4096,
        tie_word_embeddings=True,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
    )
    config = LlavaConfig(
        vision_config=vision,
        text_config=language,
        image_token_index=tokenizer.convert_tokens_to_ids(IMAGE),
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
        image_seq_length=TOKENS,
        tie_word_embeddings=True,
    )
    config.pad_token_id, config.eos_token_id = tokenizer.pad_token_id, tokenizer.eos_token_id
    return LlavaForConditionalGeneration(config)


def new_processor(tokenizer: Any) -> Any:
    """Images and messages to what the model takes."""
    from transformers import LlavaProcessor

    return LlavaProcessor(
        image_processor(SIDE),
        tokenizer,
        patch_size=SIDE // PATCHES,
        vision_feature_select_strategy="full",
        num_additional_image_tokens=1,
        chat_template=CHAT_TEMPLATE,
    )


def evidence(pool: Pool, shown: Shown) -> CropEvidence:
    """A picture of the pool as labelers and judges are given it."""
    picture = Image.fromarray(pool.pictures[shown.picture])
    grid, size = (GRID, GRID), (SIZE, SIZE)
    box = crop_box(shown.cell, grid, size) if shown.cell else (0, 0, *size)
    return CropEvidence(
        0, shown.picture, "", picture, box, grid, shown.cell, float(shown.cell is not None), None,
        "top" if shown.cell else "negative",
    )  # fmt: skip


def small(view: Image.Image) -> np.ndarray:
    """A view as the eyes get it, uint8 [96, 96, 3]."""
    return np.asarray(view.resize((SIDE, SIDE), Image.Resampling.BICUBIC))


@cache
def _mark(cell: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """What the mark of a cell multiplies a small picture by, and what it adds: two float32 [96, 96, 3].

    Read off a black and a white picture, which is exact but for the pixels that the mark's border runs through.
    """
    black, white = (np.full((1, SIZE, SIZE, 3), value, np.uint8) for value in (0, 255))
    added, all_on = (
        small(marked_view(evidence(Pool(picture, {}), Shown(0, cell)))[0]).astype(np.float32)
        for picture in (black, white)
    )
    return (all_on - added) / 255, added


class Views:
    """The pictures of a pool as the eyes get them, whole or marked."""

    def __init__(self, pool: Pool) -> None:
        every = range(len(pool))
        self.wholes = np.stack([small(whole_picture(evidence(pool, Shown(i)))[0]) for i in every])

    def __call__(self, shown: Sequence[Shown]) -> np.ndarray:
        """Views, uint8 [n, 96, 96, 3]."""
        views = self.wholes[[s.picture for s in shown]]
        for i, s in enumerate(shown):
            if s.cell:
                kept, added = _mark(s.cell)
                views[i] = np.clip(np.rint(views[i] * kept + added), 0, 255)
        return views


LABEL_VALUES: dict[str, Any] = {"marked": True, "mark": MARK, "context": False}
"""How labelers show crops to shapes-vlm: marked, without the same picture unmarked beside them."""


@cache
def _filled(prompt: str, **values: object) -> str:
    return load_prompt(prompt).render(**values)


def asked(question: LabelQuestion | JudgeQuestion) -> tuple[str, list[tuple[str, list[Shown]]]]:
    """The system's text and, heading by heading, the images below it, as labelers and judges send them."""
    if isinstance(question, LabelQuestion):
        told = _filled("label.md.j2", **LABEL_VALUES, negatives=bool(question.negatives), notes="")
        shown = [(f"Example {n}:", [s]) for n, s in enumerate(question.crops, 1)]
        return told, shown + [(f"Does not fire, {n}:", [s]) for n, s in enumerate(question.negatives, 1)]
    count = len(question.shown)
    prompt = "fuzz.md.j2" if question.shown[0].cell else "detect.md.j2"
    explained = "EXPLAINED" * bool(question.explanation)
    told = _filled(prompt, name="NAME", explanation=explained, count=count, mark=MARK)
    told = told.replace("NAME", question.name).replace("EXPLAINED", question.explanation)
    return told, [(f"Image {n}:", [s]) for n, s in enumerate(question.shown, 1)]


def messages(pool: Pool, question: LabelQuestion | JudgeQuestion) -> list[dict[str, Any]]:
    """A question as the request that `VlmLabeler` or `VlmJudge` would send, but that its images are no data URIs."""
    told, below = asked(question)
    content: list[dict[str, Any]] = []
    for heading, shown in below:
        content.append({"type": "text", "text": heading})
        for s in shown:
            view = (marked_view if s.cell else whole_picture)(evidence(pool, s))[0]
            content.append({"type": "image", "image": view})
    return [{"role": "system", "content": told}, {"role": "user", "content": content}]


def _found(width: int, classes: int) -> torch.nn.Module:
    """A head that reads a layer of any scale, and that asks nothing of it before it has learned to read."""
    head = torch.nn.Linear(width, classes)
    torch.nn.init.zeros_(head.weight)
    return torch.nn.Sequential(torch.nn.LayerNorm(width), head)


class _Learner(torch.nn.Module):
    """The model, with heads that only training needs.

    On the eyes, what is marked and what a picture shows; within the language model, what it must find out on its way
    to an answer. Answers alone teach that slowly: a reply has a few words, a question has hundreds of places.
    """

    def __init__(self, tokenizer: Any, concepts: int) -> None:
        super().__init__()
        self.vlm = new_vlm(tokenizer)
        width = self.vlm.config.vision_config.hidden_size
        self.norm = torch.nn.LayerNorm(width)
        self.marked = torch.nn.Linear(width, sum(MARKED_CLASSES) + len(POSITIONS))
        self.shows = torch.nn.Linear(width, concepts)
        self.patches = torch.nn.Linear(width, sum(PATCH_CLASSES))
        width = self.vlm.config.text_config.hidden_size
        self.counted = _found(width, len(WORDS))
        self.common = _found(width, len(CONCEPT_WORDS) + 1)
        self.fits = _found(width, 1)

    @property
    def eyes(self) -> torch.nn.Module:
        return self.vlm.model.vision_tower


class VlmTrainer:
    """The eyes for `looking` steps, then for `aligning` steps the words of what they see, then answers.

    In the last `full` of all `steps` it is shown all patches of all pictures, as whoever asks it will.
    """

    name = "vlm"

    def __init__(
        self,
        pool: Pool,
        steps: int = 26_850,
        looking: int = 6000,
        aligning: int = 500,
        full: int = 600,
        seed: int = 0,
        rate: float = 2e-3,
        labels: int = 16,
        judged_tokens: int = 1600,
        views: int = 48,
        progress: Progress | None = None,
    ) -> None:
        torch.manual_seed(seed)
        self.pool, self.steps, self.looking, self.aligning, self.seed = pool, steps, looking, aligning, seed
        self.full = max(0, min(full, steps - looking - aligning))
        self.labels, self.judged_tokens, self.views = labels, judged_tokens, views
        self._markable = markable_cells(pool, seed)
        # The eyes learn from twice as many pictures; the first half is the pool, so that views serve for both.
        self._looked_at = joined([pool, pool.mirrored()])
        self.questions, self.views_of = Questions(pool, self._markable), Views(self._looked_at)
        self._progress = progress or NullProgress()
        self.tokenizer = new_tokenizer()
        self._plain = plain_tokenizer(self.tokenizer)
        self.model = _Learner(self.tokenizer, len(pool.concepts))
        self._start_eyes()
        # AdamW alone: Muon's bfloat16 costs more than the rest of a step on processors that only emulate it.
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=rate, weight_decay=0.01, betas=(0.9, 0.98))
        self.average = Average(self.model, 0.995)
        self.parts = {"model": self.model, "optimizer": self.optimizer, "average": self.average}
        # A word at the beginning of a name is another token than the same word behind a space.
        self._words = torch.tensor([[*self._ids(word), *self._ids(f" {word}")] for word in WORDS])

    def _start_eyes(self) -> None:
        """Start from the eyes of shapes-clip, which know colours and textures, and shapes less well.

        A patch has more pixels here, so each of its weights is spread evenly over those that take its pixel's place.
        """
        from transformers import CLIPModel

        from autointerp.shapes.clip import FOLDER

        trained = CLIPModel.from_pretrained(FOLDER, dtype=torch.float32).vision_model.state_dict()
        times = SIDE // CLIP_SIDE
        name = next(name for name in trained if name.endswith("patch_embedding.weight"))
        trained[name] = trained[name].repeat_interleave(times, 2).repeat_interleave(times, 3) / times**2
        self.model.eyes.load_state_dict(trained)

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
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.average.update()
        return note

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
        shown, pool = [], self._looked_at
        for i in range(self.views):
            picture = int(rng.integers(len(pool)))
            here = pool.cells["part"][picture] >= 0
            cells = np.argwhere(here if rng.random() < 0.8 else ~here)
            row, col = cells[rng.integers(len(cells))] if len(cells) else (0, 0)
            shown.append(Shown(picture, (int(row), int(col)) if i % 4 else None))
        pixels = to_pixels(self.views_of(shown))
        draw = generator(self.seed, index)
        pixels = pixels * (1 + 0.03 * torch.randn(len(pixels), 1, 1, 1, generator=draw))
        pixels = pixels + 0.03 * torch.randn(len(pixels), 3, 1, 1, generator=draw)
        out = self.model.norm(self.model.eyes(pixels).last_hidden_state)
        return self._mark_loss(self.model.marked(out[:, 0]), shown) + self._picture_loss(out, shown)

    def _mark_loss(self, logits: torch.Tensor, shown: Sequence[Shown]) -> torch.Tensor:
        """What holds in the marked cell, and in which regions it lies."""
        at = [i for i, s in enumerate(shown) if s.cell]
        cells = [(shown[i].picture, *shown[i].cell) for i in at]  # type: ignore[misc]
        index = tuple(np.array(axis) for axis in zip(*cells, strict=True))
        *by_name, where = logits[at].split([*MARKED_CLASSES, len(POSITIONS)], dim=1)
        losses = []
        for name, part in zip(ATTRIBUTES, by_name, strict=True):
            truth = torch.from_numpy(self._looked_at.cells[name][index].astype(np.int64)) + (name == "part")
            if (truth >= 0).any():
                weight = OF_PART if name == "part" else 1.0
                losses.append(weight * F.cross_entropy(part, truth, ignore_index=-1))
        inside = np.zeros((len(POSITIONS), GRID, GRID), np.float32)
        for i, place in enumerate(POSITIONS):
            inside[(i, *REGIONS[place])] = 1
        regions = torch.from_numpy(inside[:, index[1], index[2]].T.copy())
        return torch.stack(losses).sum() + F.binary_cross_entropy_with_logits(where, regions) * len(POSITIONS) / 2

    def _picture_loss(self, out: torch.Tensor, shown: Sequence[Shown]) -> torch.Tensor:
        """Which concepts the whole picture shows, and what is in the middle of each patch."""
        pictures, pool = [s.picture for s in shown], self._looked_at
        shows = torch.from_numpy(pool.present[:, pictures].T.astype(np.float32))
        total = F.binary_cross_entropy_with_logits(self.model.shows(out[:, 0]), shows) * 20
        logits = self.model.patches(out[:, 1:]).flatten(0, 1).split(PATCH_CLASSES, dim=1)
        for name, part in zip(PATCH_FIELDS, logits, strict=True):
            cells = pool.cells[name][pictures, STEP // 2 :: STEP, STEP // 2 :: STEP].astype(np.int64)
            total = total + F.cross_entropy(
                part, torch.from_numpy(cells.reshape(-1)) + (name == "part"), ignore_index=-1
            )
        return total

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
        rows = self.labels // 2 if (parts or full) and not few else self.labels
        named = [q for _ in range(rows) if (q := self.questions.label(rng, crops, negatives))]
        # One picture a question most often: it says the most about how names and pictures go together.
        count = int(rng.choice([1, 2, 4, 8], p=[0.75, 0.1, 0.1, 0.05]))
        marked = bool(rng.random() < 0.3)
        patches = KEPT if marked else TOKENS - 1 if count == 1 else PATCHES_JUDGED
        rows = max(self.judged_tokens // (PROMPT_TOKENS + count * (patches + 2)), 2)
        judged = [j for _ in range(rows) if (j := self.questions.judge(rng, count, marked))]
        naming, common = self._loss(named, rng, None if full else KEPT, 2.0 if few else 0.3 * parts)
        judging, fits = self._loss(judged, rng, None if full else patches)
        return {"naming": naming, "judging": judging, "common": common, "fits": fits}

    def _loss(
        self,
        questions: Sequence[LabelQuestion] | Sequence[JudgeQuestion],
        rng: np.random.Generator,
        patches: int | None,
        of_parts: float = 0.0,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Cross-entropy of the replies, see `_weights`, and of what is found out on the way, see `_found_out`.

        Of whole pictures so many `patches` are shown (None: all). Replies end before their parts if those weigh
        nothing.
        """
        image = self.tokenizer.convert_tokens_to_ids(IMAGE)
        # Prompts may be changed: sometimes lines of them are spelled out, or left out.
        spell, drop = [(0.0, 0.0), (1.0, 0.0), (0.1, 0.3)][int(rng.choice(3, p=[0.9, 0.03, 0.07]))]
        rows, shown = [], []
        for question in questions:
            told, below = asked(question)
            ids = [*self._ids("<|system|>"), *self._told(told, spell, drop, rng), *self._ids("<|user|>")]
            for heading, views in below:
                ids += self._ids(heading) + [image] * (TOKENS * len(views))
                shown += views
            ids += self._ids("<|assistant|>")
            reply = [*self._ids(question.reply), self.tokenizer.eos_token_id]
            rows.append((ids, reply if of_parts else reply[: self._until_parts(reply)]))
        length = max(len(ids) + len(reply) for ids, reply in rows)
        tokens = torch.full((len(rows), length), self.tokenizer.pad_token_id)
        weights = torch.zeros(len(rows), length)
        for i, (ids, reply) in enumerate(rows):
            tokens[i, : len(ids) + len(reply)] = torch.tensor([*ids, *reply])
            weights[i, len(ids) : len(ids) + len(reply)] = torch.tensor(self._weights(reply, of_parts))
        is_image = tokens == image
        keep = torch.ones_like(is_image)
        chosen = np.ones((len(shown), TOKENS), bool)
        if patches is None:
            features = self._look_at(shown).flatten(0, 1)
        else:
            chosen, features = self._features.of(shown, rng, patches)
            keep[is_image] = torch.from_numpy(chosen).reshape(-1)
        # As many images in each row, so as many tokens kept; they keep their places.
        places = torch.arange(length).expand(len(rows), -1)
        tokens, weights, places = (x[keep].reshape(len(rows), -1) for x in (tokens, weights, places))
        vlm = self.model.vlm.model
        embedded = vlm.language_model.embed_tokens(tokens)
        projected = vlm.multi_modal_projector(features)
        embedded = embedded.masked_scatter((tokens == image)[..., None], projected)
        # Without a mask places with gaps would be taken for the ends of sequences that see nothing of one another.
        mask = (tokens != self.tokenizer.pad_token_id).long()
        out = vlm.language_model(
            inputs_embeds=embedded,
            attention_mask=mask,
            position_ids=places,
            use_cache=False,
            output_hidden_states=True,
        )
        said = weights[:, 1:] > 0
        logits = self.model.vlm.lm_head(out.last_hidden_state[:, :-1][said])
        losses = F.cross_entropy(logits, tokens[:, 1:][said], reduction="none")
        weight = weights[:, 1:][said]
        at_images = [layer[tokens == image] for layer in out.hidden_states]
        return (losses * weight).sum() / weight.sum(), self._found_out(questions, at_images, chosen)

    def _found_out(
        self,
        questions: Sequence[LabelQuestion] | Sequence[JudgeQuestion],
        at_images: Sequence[torch.Tensor],
        chosen: np.ndarray,
    ) -> torch.Tensor:
        """Cross-entropy of what layers within should know at the images' tokens.

        At the end of each example, how often each word has held so far and what is common to them; at each patch of a
        picture to judge, in how much of it the name is true. `at_images`: the layers' vectors [tokens, width];
        `chosen`: which tokens of each image these are, bool [images, TOKENS].
        """
        first = questions[0]
        if isinstance(first, LabelQuestion):
            ends = torch.from_numpy(chosen.sum(1).cumsum() - 1).reshape(len(questions), -1)[:, : len(first.crops)]
            counted, common = self._so_far([q for q in questions if isinstance(q, LabelQuestion)])
            return self._binary(self.model.counted(at_images[COUNTED][ends]), counted) / 8 + self._binary(
                self.model.common(at_images[COMMON][ends]), common
            )
        if first.shown[0].cell:
            return torch.zeros(())
        where = np.concatenate([q.where for q in questions if isinstance(q, JudgeQuestion)])
        share = where.reshape(len(where), PATCHES, STEP, PATCHES, STEP).mean((2, 4)).reshape(len(where), -1)
        patch = torch.from_numpy(chosen.nonzero()[1] > 0)
        wanted = torch.from_numpy(share[chosen[:, 1:]].astype(np.float32))[:, None]
        return 2 * self._binary(self.model.fits(at_images[FITS][patch]), wanted)

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

    @staticmethod
    def _binary(logits: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
        """Cross-entropy of yes and no, summed over words."""
        return F.binary_cross_entropy_with_logits(logits, wanted, reduction="none").sum(-1).mean()

    def _weights(self, reply: Sequence[int], of_parts: float) -> list[float]:
        """What each token of a reply weighs: most where it says a name or that there is none, least in the parts."""
        names = self._ids('", "explanation": "')[0]
        if names not in reply:
            said = self.tokenizer.convert_tokens_to_ids(["true", "false", ", true", ", false"])
            return [1.0 if token in said else 0.05 for token in reply]
        name = reply.index(names) + 1
        head = self._until_parts(reply)
        return [4.0] * name + [1.0] * (head - name) + [of_parts] * (len(reply) - head)

    def _until_parts(self, reply: Sequence[int]) -> int:
        begin = self._ids(', "parts": ["1: ')[0]
        return reply.index(begin) if begin in reply else len(reply)

    def _ids(self, text: str) -> list[int]:
        return self.tokenizer.encode(text, add_special_tokens=False)

    def _told(self, text: str, spell: float, drop: float, rng: np.random.Generator) -> list[int]:
        """The ids of a prompt, some of whose fixed lines are left out or spelled out."""
        if not spell and not drop:
            return self._ids(text)
        known = {i: phrase for phrase, i in self.tokenizer.get_added_vocab().items() if len(phrase.split()) > 5}
        ids: list[int] = []
        for i in self._ids(text):
            if i in known and rng.random() < drop:
                continue
            ids += self._plain.encode(known[i]).ids if i in known and rng.random() < spell else [i]
        return ids

    def save(self, folder: Path) -> None:
        """Write the averaged model, half precision, with its processor, tokenizer and chat template."""
        self.average.swap()
        vlm = self.model.vlm
        vlm.generation_config.do_sample = False
        vlm.generation_config.eos_token_id = self.tokenizer.eos_token_id
        vlm.generation_config.pad_token_id = self.tokenizer.pad_token_id
        vlm.generation_config.max_new_tokens = 256
        vlm.half().save_pretrained(folder)
        vlm.float()
        self.average.swap()
        new_processor(self.tokenizer).save_pretrained(folder)
        # Its weights are written for their owner alone, but are shipped.
        for path in folder.iterdir():
            path.chmod(0o644)
