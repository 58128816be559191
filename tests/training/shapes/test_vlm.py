"""shapes-vlm is taught the requests that labelers and judges send, and exact truth in the replies that they read."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from autointerp.labeling.asking.messages import marked_view
from autointerp.labeling.judging.detection import DETECTION
from autointerp.labeling.judging.fuzzing import FUZZING
from autointerp.labeling.judging.vlm_judge import VlmJudge
from autointerp.labeling.labelers.feature_messages import VlmOptions
from autointerp.labeling.labelers.vlm import VlmLabeler
from autointerp.labeling.protocol import FeatureEvidence, Trial
from training.shapes.loop import train
from training.shapes.phrases import PATCHES
from training.shapes.vlm import Batch, Schedule, VlmTrainer
from training.shapes.vlm_features import (
    KEPT,
    TOKENS,
    WORDS,
    words_at,
    words_of_picture,
)
from training.shapes.vlm_model import CONCEPT_WORDS
from training.shapes.vlm_questions import (
    Shown,
)
from training.shapes.vlm_requests import Views, asked, evidence, messages, small

SMALL = Batch(labels=2, judged_tokens=100, views=6)


class Nobody:
    kind, model, base_url = "vlm", "nobody", ""
    config: dict[str, str] = {}

    def bear(self, jobs):
        """It is asked nothing."""


def parts_of(request, kind):
    return [part for part in request[1]["content"] if (part["type"] == "text") == (kind == "text")]


def test_requests_are_what_the_labeler_and_the_judge_send(pool, questions):
    rng = np.random.default_rng(1)
    naming = questions.label(rng, 4, 2)
    crops, negatives = (tuple(evidence(pool, s) for s in side) for side in (naming.crops, naming.negatives))
    sent = VlmLabeler(Nobody(), VlmOptions(context=False)).messages(FeatureEvidence("f", 0, 0.1, crops, negatives))
    asked_of = [(naming, sent)]
    for judging, kind in ((questions.judge(rng, 3), DETECTION), (questions.judge(rng, 3, marked=True), FUZZING)):
        trials = [Trial(judging.name, judging.explanation, evidence(pool, s), True) for s in judging.shown]
        asked_of.append((judging, VlmJudge(Nobody(), question=kind).messages(trials)))
    for question, theirs in asked_of:
        ours = messages(pool, question)
        assert [m["role"] for m in ours] == [m["role"] for m in theirs]
        assert ours[0] == theirs[0]
        assert parts_of(ours, "text") == parts_of(theirs, "text")
        order = [part["type"] == "text" for part in ours[1]["content"]]
        assert order == [part["type"] == "text" for part in theirs[1]["content"]]


def test_what_is_trained_on_is_what_the_model_is_given(pool, questions, trainer, vlm):
    """Tokens and pixels of a request through the saved processor are those of the trainer."""
    question = questions.label(np.random.default_rng(2), 3, 1)
    request = messages(pool, question)
    images = [part["image"].image for part in parts_of(request, "image")]
    text = vlm._text(request)
    inputs = vlm._processor(text=text, images=images, return_tensors="pt")
    told, below = asked(question)
    image = trainer.tokenizer.convert_tokens_to_ids("<image>")
    ids = trainer._writer.ids(f"<|system|>{told}<|user|>")
    for heading, shown in below:
        ids += trainer._writer.ids(heading) + [image] * (TOKENS * len(shown))
    assert inputs["input_ids"][0].tolist() == ids + trainer._writer.ids("<|assistant|>")
    views = Views(pool)([s for _, shown in below for s in shown])
    given = (inputs["pixel_values"] * 0.25 + 0.5).permute(0, 2, 3, 1).numpy() * 255
    assert np.abs(views - given).mean() < 1
    seen = vlm._model.model.get_image_features(
        inputs["pixel_values"], vision_feature_layer=-1, vision_feature_select_strategy="full"
    ).pooler_output
    model = vlm._model.model
    own = model.multi_modal_projector(model.vision_tower(inputs["pixel_values"]).last_hidden_state)
    assert torch.allclose(torch.stack(list(seen)), own, atol=1e-5)


def test_quick_marks_are_those_that_labelers_show(pool):
    views, rng = Views(pool), np.random.default_rng(3)
    for picture in range(12):
        shown = Shown(picture, (int(rng.integers(12)), int(rng.integers(12))))
        exact = small(marked_view(evidence(pool, shown))[0]).astype(int)
        assert np.abs(views([shown])[0] - exact).mean() < 1
        assert np.abs(views([Shown(picture)])[0] - exact).mean() > 5


def test_what_is_counted_and_common_so_far_is_true(pool, trainer):
    rng = np.random.default_rng(9)
    questions = [q for _ in range(4) if (q := trainer.questions.label(rng, 5, 2))]
    counted, common = trainer._so_far(questions)
    assert counted.shape == (4, 5, len(WORDS))
    assert common.shape == (4, 5, len(CONCEPT_WORDS) + 1)
    for i, question in enumerate(questions):
        held = words_at(pool, *np.array([(s.picture, *s.cell) for s in question.crops[:3]]).T)
        assert np.allclose(counted[i, 2], held.mean(0))
        for n, concept in enumerate(question.common):
            words = {CONCEPT_WORDS[k] for k in np.flatnonzero(common[i, n, :-1])}
            assert words == set(concept.words if concept else ())
            assert bool(common[i, n, -1]) == (concept is None)


@pytest.mark.parametrize("patches", [TOKENS - 1, 7])
def test_each_patch_is_asked_how_much_of_it_the_name_is_true_of(trainer, patches):
    rng = np.random.default_rng(10)
    judged = [q for _ in range(6) if (q := trainer.questions.judge(rng, 2))]
    for question in judged:
        if question.kind in ("single", "pair"):
            assert [bool(there.any()) for there in question.where] == list(question.answers)
    chosen, _ = trainer._features.of([s for q in judged for s in q.shown], rng, patches)
    width = trainer.model.vlm.config.text_config.hidden_size
    vectors = torch.zeros(int(chosen.sum()), width)
    image, token = chosen.nonzero()
    where = np.concatenate([q.where for q in judged])
    for n, (i, t) in enumerate(zip(image, token, strict=True)):
        row, col = divmod(int(t) - 1, PATCHES)
        here = where[i, 2 * row : 2 * row + 2, 2 * col : 2 * col + 2].mean() if t else 0.5
        vectors[n, 0] = 40 * here - 20
    reads = torch.nn.Linear(width, 1, bias=False)
    reads.weight.data = torch.eye(1, width)
    learns, trainer.model.fits = trainer.model.fits, reads
    with torch.no_grad():
        told, shifted = (float(trainer._found_out(judged, [v] * 5, chosen)) for v in (vectors, vectors.roll(2, 0)))
    trainer.model.fits = learns
    # What is left is the patches of which a part fits.
    assert told < 1 < shifted


@pytest.mark.parametrize("patches", [KEPT, None])
def test_replies_are_learned_from_the_pictures(pool, patches):
    """Whether all patches are shown or a few: with places left out, rows must not fall apart into sequences."""
    trainer = VlmTrainer(pool, Schedule(steps=4, looking=1, aligning=1), SMALL)
    rng = np.random.default_rng(6)
    # Each question stands beside itself with its pictures exchanged: from the words alone, an answer is a guess.
    drawn = (trainer.questions.judge(rng, 2, marked=True) for _ in range(20))
    told = [q for q in drawn if q and q.answers[0] != q.answers[1]][:3]
    turned = [replace(q, shown=q.shown[::-1], answers=q.answers[::-1], where=q.where[::-1].copy()) for q in told]

    def loss():
        return trainer._loss([*told, *turned], np.random.default_rng(7), patches)[0]

    optimizer = torch.optim.AdamW(trainer.model.parameters(), 2e-3)
    losses = []
    for _ in range(70):
        optimizer.zero_grad()
        now = loss()
        now.backward()
        optimizer.step()
        losses.append(float(now))
    # An answer in two, guessed, costs 0.69.
    assert losses[0] > 1
    assert min(losses) < 0.35, min(losses)


def test_the_projector_begins_with_features_of_one_size(pool):
    trainer = VlmTrainer(pool, Schedule(steps=3, looking=0), SMALL)
    trainer._set_projector()
    first = trainer.model.vlm.model.multi_modal_projector.linear_1
    with torch.no_grad():
        made = first(trainer._look_at([Shown(i, (i % 12, 3)) for i in range(40)]).reshape(-1, 128))
    # Weights of deviation 0.02 over 128 features of deviation 1.
    assert 0.1 < float(made.std()) < 0.5
    assert abs(float(made.mean())) < 0.1


def test_image_tokens_learn_the_words_of_what_they_show(pool):
    trainer = VlmTrainer(pool, Schedule(steps=40, looking=0, aligning=40), SMALL)
    losses = [float(trainer.step(i).split()[1]) for i in range(40)]
    # Of all tokens alike it would be the logarithm of their number.
    assert losses[0] > 6
    assert np.mean(losses[-5:]) < 4.5


def test_words_are_true_of_cells(pool):
    assert len(set(WORDS)) == len(WORDS)
    words = words_at(pool, *np.array([(0, 1, 2), (1, 1, 10), (5, 11, 5)]).T)
    by_name = {concept.name: pool.masks[i] for i, concept in enumerate(pool.concepts)}
    for (picture, row, col), hold in zip([(0, 1, 2), (1, 1, 10), (5, 11, 5)], words, strict=True):
        for word, holds in zip(WORDS, hold, strict=True):
            if word in by_name:
                assert holds == by_name[word][picture, row, col]
        assert hold[WORDS.index("background")] != by_name["object"][picture, row, col]
        assert hold[WORDS.index("left")] == (col < 6)
        assert hold[WORDS.index("top")] == (row < 6)
    whole = words_of_picture(pool)
    for word, i in ((w, i) for i, w in enumerate(WORDS) if w in by_name and w != "center"):
        assert (whole[:, i] == by_name[word].any((1, 2))).all(), word


def test_training_goes_on_where_it_was_stopped_and_changes_what_it_should(pool, tmp_path):
    def new():
        return VlmTrainer(pool, Schedule(steps=3, looking=1), SMALL)

    whole = new()
    eyes = [p.detach().clone() for p in whole.model.eyes.parameters()]
    train(whole, tmp_path / "whole", every=2)
    assert not all(torch.equal(a, b) for a, b in zip(eyes, whole.model.eyes.parameters(), strict=True))
    stopped = new()
    stopped.step, steps = (lambda i: steps(i) if i < 2 else (_ for _ in ()).throw(KeyboardInterrupt)), stopped.step
    with pytest.raises(KeyboardInterrupt):
        train(stopped, tmp_path / "stopped", every=2)
    again = new()
    train(again, tmp_path / "stopped", every=2)
    assert all(torch.equal(a, b) for a, b in zip(whole.model.parameters(), again.model.parameters(), strict=True))
