from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from autointerp.labeling.judging.apart import Apart
from autointerp.labeling.judging.detection import TRIALS
from autointerp.labeling.protocol import CropEvidence, ScoreEvidence, ScoreResult, Trial, Verdict

from ..conftest import COLORS, World


class ColourReader:
    """Says whether a mark has a colour that the explanation names; any mark will do where it names none."""

    def judge(self, trials: Sequence[Trial]) -> list[Verdict]:
        return [Verdict(trial, self._holds(trial)) for trial in trials]

    def _holds(self, trial: Trial) -> bool:
        assert trial.crop is not None
        assert trial.crop.cell is not None
        row, col = trial.crop.cell
        at = trial.crop.picture.getpixel((col * 8 + 4, row * 8 + 4))
        said = [COLORS[word] for word in trial.explanation.strip(".").split() if word in COLORS]
        return not said or at in said


def evidence(world: World, own: str, *others: str) -> ScoreEvidence:
    """A feature that is active on one colour, and cells of namesakes that are active on others, in turn."""

    def of(colour: str) -> list[CropEvidence]:
        return [world.crop(*at, 1.0) for at in world.where(lambda was, _: was == colour)[:20]]

    cells = {colour: of(colour) for colour in (own, *others)}
    beside = [crop for turn in zip(*(cells[c] for c in others), strict=False) for crop in turn]
    return ScoreEvidence(7, active=tuple(cells[own]), namesakes=tuple(beside))


def scored(explanation: str, shown: ScoreEvidence) -> ScoreResult:
    method = Apart()
    trials = method.trials("patch", explanation, shown, np.random.default_rng(0))
    return method.result(method.ask(ColourReader(), trials, None), 0)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("explanation", "value"),
    [("Fires on red.", 1.0), ("Fires on patches.", 0.5), ("Fires on red blue.", 0.75), ("Fires on green.", 0.25)],
)
def test_an_explanation_is_worth_what_it_tells_apart(world: World, explanation: str, value: float) -> None:
    found = scored(explanation, evidence(world, "red", "blue", "green"))
    assert found.value == value
    assert found.ci_low is not None
    assert found.ci_high is not None
    assert found.ci_low <= value <= found.ci_high


def test_half_of_the_cells_are_those_of_the_nearest_namesakes_in_turn(world: World) -> None:
    shown = evidence(world, "red", "blue", "green", "yellow")
    trials = Apart().trials("patch", "x", shown, np.random.default_rng(0))
    own, beside = ([t for t in trials if t.truth is truth] for truth in (True, False))
    assert len(own) == len(beside) == TRIALS // 2
    assert {t.kind for t in own} == {"active"}
    assert {t.kind for t in beside} == {"namesake"}
    assert {t.crop.crop_id for t in beside if t.crop} == {crop.crop_id for crop in shown.namesakes[: TRIALS // 2]}


def test_nothing_to_tell_it_from_is_no_value(world: World) -> None:
    found = scored("Fires on red.", ScoreEvidence(7, active=evidence(world, "red").active))
    assert found.value is None
    assert "nearly the same name" in found.note
