"""What holds for every score, whatever it shows: the judges whose value is known get it, and trials are fair."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from autointerp.labeling.judge import CONTROLS, ControlJudge
from autointerp.labeling.methods import METHODS, Method, displaced
from autointerp.labeling.protocol import CropEvidence, ScoreEvidence, Trial, Verdict

from .conftest import World

EXPECTED = {"oracle": (1.0, 1.0), "coin": (0.47, 0.53), "always-yes": (0.5, 0.5)}


def evidence_of(world: World, latent: int, crops: int = 16) -> ScoreEvidence:
    """A feature that fires in a few cells, and all that trials of it are made of."""
    cells = world.anywhere(8 * crops, seed=latent)
    shown = [world.crop(image, cell, 2.0 - i / 100) for i, (image, cell) in enumerate(cells)]
    parts = [shown[i * crops : (i + 1) * crops] for i in range(6)]
    silent = [replace(c, role="negative", cell=None, activation_map=None, activation=0.0) for c in parts[1] + parts[2]]
    unrelated = tuple((f"a {word} thing, {i}", i) for i in range(30) for word in ("plain", "red"))
    return ScoreEvidence(
        latent,
        firing=tuple(parts[0]),
        silent=tuple(silent[:crops]),
        hard=tuple(silent[crops:]),
        foreign=tuple(parts[3]),
        seen=tuple(parts[4]),
        others=tuple(parts[5][:5]),
        unrelated=unrelated,
    )


@pytest.fixture(params=METHODS)
def method(request: pytest.FixtureRequest) -> Method:
    return METHODS[request.param]


def trials_of(method: Method, world: World, latent: int, **given: int) -> list[Trial]:
    rng = np.random.default_rng((0, latent))
    return method.trials("red circle", "Fires on red.", evidence_of(world, latent, **given), rng)


def key(trial: Trial) -> tuple[object, ...]:
    """What a trial is, without arrays and pictures."""
    shown = None if trial.crop is None else (trial.crop.crop_id, trial.crop.box)
    return trial.name, trial.truth, trial.kind, trial.panel, trial.prompt, trial.seed, shown


@pytest.mark.parametrize("kind", CONTROLS)
def test_control_judges_get_their_value(method: Method, kind: str, world: World) -> None:
    values, judge = [], ControlJudge(kind)
    for latent in range(300 if kind == "coin" else 5):
        score = method.result(judge.judge(trials_of(method, world, latent)), latent)
        assert score.method == method.name and score.value is not None
        assert score.ci_low is not None and score.ci_high is not None
        assert 0 <= score.ci_low <= score.value <= score.ci_high <= 1
        values.append(score.value)
    low, high = EXPECTED[kind]
    assert low - 1e-9 <= np.mean(values) <= high + 1e-9


def test_only_what_is_needed_is_used(method: Method, world: World) -> None:
    """Without the other parts the trials are the same."""
    whole = evidence_of(world, 3)
    bare = replace(ScoreEvidence(3), **{part: getattr(whole, part) for part in method.needs})
    one, two = (method.trials("red", "", e, np.random.default_rng(0)) for e in (whole, bare))
    assert one and [key(t) for t in one] == [key(t) for t in two]


def test_order_gives_nothing_away(method: Method, world: World) -> None:
    """Where a judge sees several trials at once, truth is anywhere among them."""
    if method.question is None:
        pytest.skip("nobody sees the order")
    trials = [trials_of(method, world, latent) for latent in range(40)]
    first = [np.mean([t.truth for t in some[: len(some) // 2]]) for some in trials]
    assert abs(np.mean(first) - np.mean([t.truth for some in trials for t in some])) < 0.06
    if method.question.panel == 1:
        assert all(sum(t.truth for t in some) == len(some) / 2 for some in trials)
    assert all(len(some) <= method.question.trials for some in trials)


def test_words_are_the_labels_or_none(method: Method, world: World) -> None:
    said = {(t.name, t.explanation) for t in trials_of(method, world, 1)}
    assert said == ({("red circle", "Fires on red.")} if method.of_label else {("", "")})


def test_too_little_is_a_note_and_no_value(method: Method) -> None:
    trials = method.trials("red", "", ScoreEvidence(0), np.random.default_rng(0))
    score = method.result(ControlJudge("oracle").judge(trials), 0)
    assert not trials and score.value is None and "too few" in score.note


def test_unreadable_is_unscored(method: Method, world: World) -> None:
    trials = trials_of(method, world, 2)
    answers = ControlJudge("oracle").judge(trials)
    mixed = [Verdict(v.trial, error="?") if i % 4 == 0 else v for i, v in enumerate(answers)]
    score = method.result(mixed, 0)
    assert score.value == 1.0 and score.unscored == len(mixed[::4])


def test_half_of_the_others_are_hard(world: World) -> None:
    kinds = [t.kind for t in trials_of(METHODS["detection"], world, 0)]
    assert (kinds.count("firing"), kinds.count("hard"), kinds.count("random")) == (10, 5, 5)
    easy = replace(evidence_of(world, 0), hard=())
    kinds = [t.kind for t in METHODS["detection"].trials("x", "", easy, np.random.default_rng(0))]
    assert (kinds.count("firing"), kinds.count("hard"), kinds.count("random")) == (10, 0, 10)


def test_marks_are_right_displaced_or_foreign(world: World) -> None:
    evidence = evidence_of(world, 0)
    trials = trials_of(METHODS["fuzzing"], world, 0)
    kinds = [t.kind for t in trials]
    assert (kinds.count("firing"), kinds.count("displaced"), kinds.count("foreign")) == (10, 5, 5)
    by_id = {c.crop_id: c for c in evidence.firing}
    for trial in trials:
        assert trial.crop is not None
        if trial.kind == "displaced":
            own = by_id[trial.crop.crop_id]
            assert trial.crop.box != own.box and trial.crop.picture is own.picture
        elif trial.kind == "firing":
            assert trial.crop.box == by_id[trial.crop.crop_id].box
        else:
            assert trial.crop.crop_id in {c.crop_id for c in evidence.foreign}


@pytest.mark.parametrize("seed", range(20))
def test_a_displaced_mark_holds_nothing_of_the_feature(world: World, seed: int) -> None:
    rng = np.random.default_rng(seed)
    heat = np.zeros((8, 8), np.float32)
    row, col = int(rng.integers(1, 7)), int(rng.integers(1, 7))
    heat[row - 1 : row + 2, col - 1 : col + 2] = 0.7
    heat[row, col] = 1.0
    moved = displaced(replace(world.crop(0, (row, col), 1.0), activation_map=heat), rng)
    assert moved is not None and moved.activation_map is not None and moved.cell is not None
    left, top, right, bottom = moved.box
    for y, x in np.argwhere(heat >= 0.5):
        assert not (left <= x * 8 + 4 < right and top <= y * 8 + 4 < bottom)
    # The map is of the same form, with its peak under the mark.
    assert moved.activation_map[moved.cell] == 1.0 and moved.activation_map.sum() == pytest.approx(heat.sum())


def test_what_fires_everywhere_cannot_be_displaced(world: World) -> None:
    everywhere: CropEvidence = replace(world.crop(0, (2, 2), 1.0), activation_map=np.ones((8, 8), np.float32))
    assert displaced(everywhere, np.random.default_rng(0)) is None
    assert displaced(replace(everywhere, cell=None), np.random.default_rng(0)) is None


def test_a_panel_has_one_intruder(world: World) -> None:
    trials = trials_of(METHODS["intruder"], world, 0)
    panels = {t.panel for t in trials}
    assert panels == set(range(5))
    for panel in panels:
        some = [t for t in trials if t.panel == panel]
        assert len(some) == 5 and sum(not t.truth for t in some) == 1


def test_a_choice_at_random_is_chance(world: World) -> None:
    """One of n is picked, as a VLM must: balanced, that is 0.5 whatever n is."""
    rng = np.random.default_rng(0)
    for crops in (3, 16):
        values = []
        for latent in range(150):
            trials = trials_of(METHODS["intruder"], world, latent, crops=crops)
            answers = []
            for panel in sorted({t.panel for t in trials if t.panel is not None}):
                some = [t for t in trials if t.panel == panel]
                picked = int(rng.integers(len(some)))
                answers += [Verdict(t, i != picked) for i, t in enumerate(some)]
            values.append(METHODS["intruder"].result(answers, 0).value or 0)
        assert abs(np.mean(values) - 0.5) < 0.03


def test_unrelated_prompts_do_not_say_the_label(world: World) -> None:
    trials = trials_of(METHODS["generative"], world, 7)
    assert {t.prompt for t in trials if t.truth} == {"red circle"} and all(t.latent == 7 for t in trials)
    unrelated = [t for t in trials if not t.truth]
    assert len(unrelated) == 16 and not any("red" in t.prompt for t in unrelated)
    # Both have the same noise.
    assert [t.seed for t in trials if t.truth] == [t.seed for t in unrelated[:8]]
    too_few = METHODS["generative"].trials("thing", "", evidence_of(world, 7), np.random.default_rng(0))
    assert too_few == []
