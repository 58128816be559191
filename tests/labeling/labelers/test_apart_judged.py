from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from autointerp.errors import PartialFailure
from autointerp.labeling.asking.protocol import BudgetReached
from autointerp.labeling.evidence.windows import WindowEmbedder
from autointerp.labeling.labelers.apart import NamedAlike
from autointerp.labeling.labelers.apart_judged import JudgedOptions, JudgedTeller, PhraseRanking, proposals
from autointerp.labeling.protocol import FeatureEvidence, Trial, Verdict

from ..conftest import CORNERS, ColorEmbedder, World

PHRASES = ["patch", "red patch", "red", "blue", "green", "top left", "bottom right", "wooden"]
SIDES = ("left side of objects", "right side of objects")


class TruthJudge:
    """Knows the world: a phrase holds where each of its colours and its corner does."""

    jobs, together, asker = 2, 1, None

    def __init__(self, world: World, unsure: str = "", calls: int | None = None) -> None:
        self.world, self.unsure, self.calls = world, unsure, calls
        self.asked: list[tuple[str, int, Any]] = []

    def judge(self, trials: Sequence[Trial]) -> list[Verdict]:
        assert len({trial.name for trial in trials}) == 1
        if self.calls is not None and len(self.asked) >= self.calls:
            raise BudgetReached("no more calls", "raise the limit")
        verdicts = []
        for trial in trials:
            assert trial.crop is not None
            assert trial.crop.cell is not None
            self.asked.append((trial.name, trial.crop.image_id, trial.crop.cell))
            row, col = trial.crop.cell
            corner = next(name for name, at in CORNERS.items() if at == (row // 4, col // 4))
            color = self.world.images[trial.crop.image_id][2].get(corner, "ground")
            holds = all(word in (color, "patch") or word in corner.split() for word in trial.name.split())
            verdicts.append(Verdict(trial, error="unclear") if trial.name == self.unsure else Verdict(trial, holds))
        return verdicts


def feature(world: World, index: int, color: str, corner: str = "") -> FeatureEvidence:
    """A feature that is active on patches of a colour, in one corner if it is given."""
    cells = world.where(lambda was, where: was == color and (not corner or where == corner))[::-1]
    found = world.feature(index, cells)
    return replace(found, crops=(), cells=tuple(replace(crop, role="active") for crop in found.crops))


def teller_of(judge: Any, phrases: Sequence[str] = PHRASES, where: tuple[str, ...] = ()) -> JudgedTeller:
    return JudgedTeller(
        judge, PhraseRanking(phrases, WindowEmbedder(ColorEmbedder(), (2.0,))), JudgedOptions(where=where)
    )


def group(world: World, *features: tuple[str, str], name: str = "patch") -> NamedAlike:
    own, *others = (feature(world, index, *about) for index, about in enumerate(features))
    return NamedAlike(name, own, tuple(others))


@pytest.mark.parametrize(
    ("features", "expected"),
    [
        # The name that says the difference too is the new name.
        ([("red", ""), ("blue", ""), ("green", "")], ("told", "red", "red patch", (0, 1), ())),
        ([("blue", ""), ("red", ""), ("blue", "")], ("told", "blue", "", (0,), (1,))),
        ([("red", ""), ("red", "")], ("same", "", "", (), (0,))),
        # No colour tells these from each other, but their place does.
        ([("red", "top left"), ("red", "bottom right")], ("told", "top left", "", (0,), ())),
        # What only another feature has is no difference of this one.
        ([("yellow", ""), ("red", "")], ("same", "", "", (), (0,))),
    ],
)
def test_what_holds_here_and_not_there_is_said(
    world: World, features: list[tuple[str, str]], expected: tuple[Any, ...]
) -> None:
    (found,) = teller_of(TruthJudge(world)).tell([group(world, *features)])
    assert (found.status, found.text, found.name, found.apart_from, found.same_as) == expected


def test_where_at_an_object_is_asked_about_though_nobody_said_it(world: World) -> None:
    class Sided(TruthJudge):
        """Knows sides too: the cells of a feature are left ones where their column is even."""

        def judge(self, trials: Sequence[Trial]) -> list[Verdict]:
            sides = {"left side of objects": 0, "right side of objects": 1}
            if trials[0].name not in sides:
                return super().judge(trials)
            self.asked += [(trial.name, 0, None) for trial in trials]
            return [Verdict(t, bool(t.crop and t.crop.cell and t.crop.cell[1] % 2 == sides[t.name])) for t in trials]

    cells = world.where(lambda was, where: was == "red")
    left, right = (
        replace(shown, crops=(), cells=shown.crops)
        for shown in (world.feature(i, [(image, (row, col + i)) for image, (row, col) in cells]) for i in (0, 1))
    )
    judge = Sided(world)
    (found,) = teller_of(judge, where=SIDES).tell([NamedAlike("object", left, (right,))])
    # The name that says the difference and all that was said before is the new one.
    assert (found.text, found.name, found.apart_from) == ("left side of objects", "left side of objects", (0,))
    assert {name for name, *_ in judge.asked} >= set(SIDES)
    said = Sided(world)
    (found,) = teller_of(said, where=SIDES).tell([NamedAlike("left side of objects", left, (right,))])
    assert found.status == "same"
    assert "left side of objects" not in {name for name, *_ in said.asked}


def test_what_the_name_says_already_is_not_asked_about(world: World) -> None:
    judge = TruthJudge(world)
    list(teller_of(judge).tell([group(world, ("red", ""), ("blue", ""), name="red patch")]))
    assert not {name for name, _, _ in judge.asked} & {"red", "patch", "red patch"}


def test_a_cell_is_asked_about_once_though_features_share_it(world: World) -> None:
    judge = TruthJudge(world)
    red, blue = feature(world, 0, "red"), feature(world, 1, "blue")
    found = list(teller_of(judge).tell([NamedAlike("patch", red, (blue,)), NamedAlike("patch", blue, (red,))]))
    assert [one.text for one in found] == ["red", "blue"]
    assert len(judge.asked) == len(set(judge.asked))
    # Phrases that fail in the first cells are dropped, so no feature costs all of its cells for all phrases.
    assert 0 < len(judge.asked) < len(PHRASES) * sum(JudgedOptions().closely)


def test_no_answer_is_no_difference(world: World) -> None:
    (found,) = teller_of(TruthJudge(world, unsure="red"), ["red"]).tell([group(world, ("red", ""), ("blue", ""))])
    assert found.status == "same"


def test_of_a_namesake_without_pictures_nothing_is_said(world: World) -> None:
    shown = group(world, ("red", ""), ("blue", ""), ("red", ""))
    blind = replace(shown.others[1], crops=(), cells=())
    (found,) = teller_of(TruthJudge(world)).tell([replace(shown, others=(shown.others[0], blind))])
    assert (found.text, found.apart_from, found.same_as) == ("red", (0,), ())
    (found,) = teller_of(TruthJudge(world)).tell([replace(shown, others=(blind,))])
    assert (found.status, found.same_as) == ("same", ())


def test_an_interrupt_lets_no_further_request_out(world: World) -> None:
    class Interrupted(TruthJudge):
        def judge(self, trials: Sequence[Trial]) -> list[Verdict]:
            raise KeyboardInterrupt

    judge: Any = Interrupted(world)
    gave_up: list[bool] = []
    judge.asker = SimpleNamespace(give_up=lambda: gave_up.append(True))
    with pytest.raises(KeyboardInterrupt):
        list(teller_of(judge).tell([group(world, ("red", ""), ("blue", ""))]))
    assert gave_up == [True]


def test_a_budget_ends_the_work_and_says_why(world: World) -> None:
    teller = teller_of(TruthJudge(world, calls=0))
    assert list(teller.tell([group(world, ("red", ""), ("blue", ""))])) == []
    assert "no more calls" in teller.stopped
    assert issubclass(BudgetReached, PartialFailure)


def test_names_are_proposed_first_and_prompts_say_the_rest() -> None:
    names = ["edge of objects", "edge of objects", "red circle", "red star, top left"]
    prompts = ["large blue circle bottom right, night background"] * 5 + ["a rare word"]
    found = proposals(names, prompts)
    assert found[:3] == ["edge of objects", "red circle", "red star"]
    assert found.index("red") < found.index("blue")
    assert {"circle", "blue circle", "bottom right", "top left", "night background"} <= set(found)
    assert not {"rare", "large blue circle", "circle bottom"} & set(found)
    assert len(found) == len(set(found))
