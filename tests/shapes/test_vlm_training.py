"""shapes-vlm is taught the requests that labelers and judges send, and exact truth in the replies that they read."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from autointerp.labeling.judge import VlmJudge
from autointerp.labeling.messages import TOLD, marked_view
from autointerp.labeling.protocol import FeatureEvidence, Trial
from autointerp.labeling.questions import DETECTION, FUZZING
from autointerp.labeling.replies import DetectReply, LabelReply, parse_reply
from autointerp.labeling.templates import load_prompt
from autointerp.labeling.vlm import VlmLabeler, VlmOptions
from autointerp.shapes.oracle import Oracle
from autointerp.shapes.scenes import ATTRIBUTES, held_out
from autointerp.shapes.train import vlm_pool
from autointerp.shapes.train.__main__ import WEIGHTS
from autointerp.shapes.train.loop import train
from autointerp.shapes.train.phrases import PATCHES
from autointerp.shapes.train.vlm import CONCEPT_WORDS, Views, VlmTrainer, asked, evidence, messages, small
from autointerp.shapes.train.vlm_features import (
    ELSEWHERE,
    KEPT,
    ON_OBJECTS,
    TOKENS,
    WORDS,
    words_at,
    words_of_picture,
)
from autointerp.shapes.train.vlm_pool import LEFT_OUT, _scenes, joined, painted_pool, rendered_pool
from autointerp.shapes.train.vlm_questions import (
    NEARLY_ALL,
    LabelQuestion,
    Questions,
    Shown,
    said,
    spoken_for,
    told_by_others,
)
from autointerp.shapes.train.vlm_text import (
    concept_name,
    explanation,
    judge_reply,
    label_reply,
    new_tokenizer,
    phrases,
    plain_tokenizer,
)
from autointerp.shapes.truth import all_concepts, names_truth
from autointerp.shapes.vlm import load_shapes_vlm


class Nobody:
    kind, model, base_url = "vlm", "nobody", ""
    config: dict[str, str] = {}

    def bear(self, jobs):
        """It is asked nothing."""


@pytest.fixture(scope="module")
def pool():
    return rendered_pool(160)


@pytest.fixture(scope="module")
def questions(pool):
    return Questions(pool)


@pytest.fixture(scope="module")
def tokenizer():
    return new_tokenizer()


@pytest.fixture(scope="module")
def trainer(pool):
    return VlmTrainer(pool, steps=4, looking=1, aligning=1, labels=2, judged_tokens=100, views=6)


@pytest.fixture(scope="module")
def vlm(trainer, tmp_path_factory):
    folder = tmp_path_factory.mktemp("vlm")
    trainer.save(folder)
    return load_shapes_vlm(folder)


def parts_of(request, kind):
    return [part for part in request[1]["content"] if (part["type"] == "text") == (kind == "text")]


def test_texts_come_back_and_prompts_are_short(tokenizer):
    replies = [label_reply(concept, 0.9, 0.83, ["night background"]) for concept in [*all_concepts(), None]]
    replies += [judge_reply([True, False]), 'any "text"\nat all: é ✓ 1.05']
    prompt = load_prompt("label.md.j2").render(marked=True, mark=TOLD["dim"], context=False, negatives=True, notes="")
    for text in [*replies, prompt]:
        assert tokenizer.decode(tokenizer.encode(text)) == text
    assert len(tokenizer.encode(prompt)) < 40
    plain = plain_tokenizer(tokenizer)
    assert len(plain.encode(prompt).ids) > 150
    assert plain.decode(plain.encode(prompt).ids) == prompt
    assert max(len(tokenizer.encode(reply)) for reply in replies[:-3]) < 32


def test_the_tokenizer_is_always_the_same(tokenizer):
    assert new_tokenizer().get_vocab() == tokenizer.get_vocab()
    assert all(len(tokenizer.encode(phrase)) == 1 for phrase in phrases())


def test_replies_are_read_back_and_name_their_concept():
    for concept in all_concepts():
        reply = parse_reply(label_reply(concept, 0.85, 0.94, ["a", "b"]), LabelReply)
        assert names_truth(reply.name, concept) and len(reply.name.split()) <= 6
        assert reply.interpretable and reply.confidence == 0.9 and reply.parts == ["1: a", "2: b"]
        assert reply.explanation == explanation(concept, 0.85) and "nearly all" in reply.explanation
        if concept.kind == "pair":
            assert names_truth(reply.explanation, concept), reply.explanation
    assert not parse_reply(label_reply(None, 0.0, 1.0, []), LabelReply).interpretable
    assert parse_reply(judge_reply([True, False]), DetectReply).answers == [True, False]
    assert concept_name(next(c for c in all_concepts() if c.name == "night")) == "night background"


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
    images = [part["image"] for part in parts_of(request, "image")]
    text = vlm._processor.apply_chat_template(request, add_generation_prompt=True, tokenize=False)
    inputs = vlm._processor(text=text, images=images, return_tensors="pt")
    told, below = asked(question)
    image = trainer.tokenizer.convert_tokens_to_ids("<image>")
    ids = trainer._ids(f"<|system|>{told}<|user|>")
    for heading, shown in below:
        ids += trainer._ids(heading) + [image] * (TOKENS * len(shown))
    assert inputs["input_ids"][0].tolist() == ids + trainer._ids("<|assistant|>")
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


def test_answers_are_true_of_the_pictures(pool, questions):
    rng = np.random.default_rng(4)
    for _ in range(30):
        question = questions.label(rng, 6, 2)
        reply = json.loads(question.reply)
        assert len(reply["parts"]) == 6
        if question.answer:
            row = pool.concepts.index(question.answer)
            held = [pool.masks[row][(s.picture, *s.cell)] for s in question.crops]
            assert np.mean(held) >= NEARLY_ALL
    balance = []
    for marked in (False, True):
        for _ in range(30):
            question = questions.judge(rng, 4, marked, about="red")
            mask = questions.words_mask(["red"])
            for s, answer in zip(question.shown, question.answers, strict=True):
                assert (s.cell is not None) == marked
                assert bool(mask[(s.picture, *s.cell)] if marked else mask[s.picture].any()) == answer
                balance.append(answer)
    assert 0.4 < np.mean(balance) < 0.6


def test_the_narrowest_concept_that_the_marks_share_is_named(pool):
    concepts = {concept.name: i for i, concept in enumerate(pool.concepts)}

    def marks(name, count):
        cells = np.argwhere(pool.masks[concepts[name]])
        _, first = np.unique(cells[:, 0], return_index=True)
        return [Shown(int(p), (int(r), int(c))) for p, r, c in cells[first][:count]]

    assert spoken_for(pool, marks("red", 10))[0][-1].name == "red"
    striped = marks("red striped", 8)
    named, share, sure = spoken_for(pool, striped)
    assert (named[-1].name, share) == ("red striped", 1.0) and sure > 0.5
    mixed = [*marks("red", 4), *marks("blue", 3), *marks("night", 3)]
    spoken, _, _ = spoken_for(pool, mixed)
    assert spoken[-1] is None and spoken[3] is not None
    # After each crop, as if there were no more.
    assert spoken == tuple(spoken_for(pool, mixed[:n])[0][-1] for n in range(1, 11))


def test_what_is_counted_and_common_so_far_is_true(pool, trainer):
    rng = np.random.default_rng(9)
    questions = [q for _ in range(4) if (q := trainer.questions.label(rng, 5, 2))]
    counted, common = trainer._so_far(questions)
    assert counted.shape == (4, 5, len(WORDS)) and common.shape == (4, 5, len(CONCEPT_WORDS) + 1)
    for i, question in enumerate(questions):
        held = words_at(pool, *np.array([(s.picture, *s.cell) for s in question.crops[:3]]).T)
        assert np.allclose(counted[i, 2], held.mean(0))
        for n, concept in enumerate(question.common):
            words = {CONCEPT_WORDS[k] for k in np.flatnonzero(common[i, n, :-1])}
            assert words == set(concept.words if concept else ()) and bool(common[i, n, -1]) == (concept is None)


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
def test_replies_are_learned_from_the_pictures(trainer, patches):
    """Whether all patches are shown or a few: with places left out, rows must not fall apart into sequences."""
    rng = np.random.default_rng(6)
    judged = [q for _ in range(4) if (q := trainer.questions.judge(rng, 2, marked=True))]
    cells = trainer._features.cells
    elsewhere = [Shown(p, (r, c)) for p, r, c in cells[rng.integers(len(cells), size=8)].tolist()]
    other = [replace(q, shown=tuple(elsewhere[2 * i : 2 * i + 2])) for i, q in enumerate(judged)]
    with torch.no_grad():
        own, moved = (float(trainer._loss(some, np.random.default_rng(7), patches)[0]) for some in (judged, other))
    assert own != moved


def test_the_projector_begins_with_features_of_one_size(pool):
    trainer = VlmTrainer(pool, steps=3, looking=0, labels=2, judged_tokens=100, views=6)
    trainer._set_projector()
    first = trainer.model.vlm.model.multi_modal_projector.linear_1
    with torch.no_grad():
        made = first(trainer._look_at([Shown(i, (i % 12, 3)) for i in range(40)]).reshape(-1, 128))
    # Weights of deviation 0.02 over 128 features of deviation 1.
    assert 0.1 < float(made.std()) < 0.5 and abs(float(made.mean())) < 0.1


def test_image_tokens_learn_the_words_of_what_they_show(pool):
    trainer = VlmTrainer(pool, steps=40, looking=0, aligning=40, labels=2, judged_tokens=100, views=6)
    losses = [float(trainer.step(i).split()[1]) for i in range(40)]
    # Of all tokens alike it would be the logarithm of their number.
    assert losses[0] > 6 and np.mean(losses[-5:]) < 4.5


def test_features_that_are_kept_are_those_of_the_eyes(trainer, pool):
    rng, kept = np.random.default_rng(8), trainer._features
    assert len(kept.marks) == trainer._markable.sum() <= len(pool) * (ON_OBJECTS + ELSEWHERE)
    picture, row, col = kept.cells[5].tolist()
    shown = [Shown(picture, (row, col)), Shown(3), Shown(4)]
    chosen, features = kept.of(shown, rng, 7)
    assert chosen.sum(1).tolist() == [1 + KEPT, 8, 8] and chosen[:, 0].all()
    assert torch.allclose(features, trainer._look_at(shown)[torch.from_numpy(chosen)], atol=0.02)
    for question in [trainer.questions.label(rng, 4, 1), trainer.questions.judge(rng, 4, marked=True)]:
        asked_of = question.crops if isinstance(question, LabelQuestion) else question.shown
        assert all(trainer._markable[(s.picture, *s.cell)] for s in asked_of)


def test_words_are_true_of_cells(pool):
    assert len(set(WORDS)) == len(WORDS)
    words = words_at(pool, *np.array([(0, 1, 2), (1, 1, 10), (5, 11, 5)]).T)
    by_name = {concept.name: pool.masks[i] for i, concept in enumerate(pool.concepts)}
    for (picture, row, col), hold in zip([(0, 1, 2), (1, 1, 10), (5, 11, 5)], words, strict=True):
        for word, holds in zip(WORDS, hold, strict=True):
            if word in by_name:
                assert holds == by_name[word][picture, row, col]
        assert hold[WORDS.index("background")] != by_name["object"][picture, row, col]
        assert hold[WORDS.index("left")] == (col < 6) and hold[WORDS.index("top")] == (row < 6)
    whole = words_of_picture(pool)
    for word, i in ((w, i) for i, w in enumerate(WORDS) if w in by_name and w != "center"):
        assert (whole[:, i] == by_name[word].any((1, 2))).all(), word


def test_names_as_labelers_put_them():
    rng, pair = np.random.default_rng(5), next(c for c in all_concepts() if c.name == "red circle")
    names = {said(("red", "circle"), rng) for _ in range(200)}
    assert len(names) > 6 and all(names_truth(name, pair) for name in names)
    placed = {said(("red", "top left"), rng) for _ in range(200)}
    assert {"red, top left", "red at the top left"} <= placed


def test_labels_are_judged_by_their_names_whatever_their_explanations_say(questions):
    rng = np.random.default_rng(11)
    others = {q.explanation for _ in range(60) if (q := questions.judge(rng, 1, about="red"))}
    assert any("mean similarity percentile" in one for one in others) and "" in others
    assert any(one.startswith("Fires on red objects") for one in others)
    told = {told_by_others("red circle", rng) for _ in range(20)}
    assert len(told) == 20 and all("red circle" in one for one in told)


def test_pictures_are_of_captions_that_trainers_may_see_and_of_others_to_measure():
    assert not any(held_out(scene.caption) for scene in _scenes(61, 40, 0, False))
    assert all(held_out(scene.caption) for scene in _scenes(61, 40, 0, True))


def test_painted_pictures_are_the_same_from_their_file(pool, tmp_path, monkeypatch):
    made = pool.pictures[:24]
    # A pipeline's pictures are a view with the channels last, not an array that lies so.
    painted = np.ascontiguousarray(made.transpose(0, 3, 1, 2)).transpose(0, 2, 3, 1)
    monkeypatch.setattr(vlm_pool, "generate", lambda *args: painted)
    for _ in range(2):
        found = painted_pool(tmp_path / "painted.safetensors", WEIGHTS, len(made))
        np.testing.assert_array_equal(found.pictures, made)
        agree = [np.mean(found.cells[name] == pool.cells[name][:24]) for name in ATTRIBUTES]
        assert min(agree) > 0.95


def test_a_mirrored_pool_is_as_true(pool):
    mirrored = pool.mirrored()
    read = Oracle.load().read(mirrored.pictures[:64])
    agree = [np.mean(read[name] == mirrored.cells[name][:64]) for name in ATTRIBUTES]
    assert min(agree) > 0.95
    np.testing.assert_array_equal(mirrored.mirrored().pictures, pool.pictures)


def test_what_is_left_out_is_in_no_picture(pool):
    kept = pool.without(LEFT_OUT)
    assert 0 < len(kept) < len(pool)
    rows = [i for i, c in enumerate(kept.concepts) if c.name in LEFT_OUT]
    assert len(rows) == len(LEFT_OUT) and not kept.masks[rows].any() and pool.masks[rows].any()
    with pytest.raises(ValueError, match="concepts"):
        pool.without(["crimson"])
    assert len(joined([pool, kept])) == len(pool) + len(kept)


def test_training_goes_on_where_it_was_stopped_and_changes_what_it_should(pool, tmp_path):
    def new():
        return VlmTrainer(pool, steps=3, looking=1, labels=2, judged_tokens=100, views=6)

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
