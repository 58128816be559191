"""What is left is told by what was expected, then by what was measured."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from autointerp.progress import NullProgress, Task
from autointerp.project.plan import Plan, Step
from autointerp.project.schedule import Part, WorkSchedule, part_of, tell_steps


class Seen(NullProgress):
    """A progress that keeps notes and the texts behind bars."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.behind: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)

    @contextmanager
    def task(self, what: str, total: int, done: int = 0, unit: str = "it") -> Iterator[Task]:
        behind = self.behind

        class Bar:
            def advance(self, n: int = 1, note: str = "") -> None:
                behind.append(note)

        yield Bar()


@pytest.fixture
def now() -> list[float]:
    return [0.0]


def schedule_of(now: list[float], *parts: Part) -> tuple[WorkSchedule, Seen]:
    seen = Seen()
    return WorkSchedule(seen, parts, now=lambda: now[0]), seen


def test_what_is_to_be_done_is_told_before_it_begins(now: list[float]) -> None:
    schedule, seen = schedule_of(now, Part("fit", "10 images", 10, "image", 30.0), Part("label", "4", 4, "", 45.0))
    schedule.announce("label --layer mid")
    assert seen.notes == [
        "label --layer mid: 2 parts, about 1:15 on this machine",
        "  1. fit    10 images (about 0:30)",
        "  2. label  4 (about 0:45)",
    ]
    assert schedule.left() == 75


def test_a_slow_machine_makes_all_that_is_left_longer(now: list[float]) -> None:
    schedule, seen = schedule_of(now, Part("fit", "10 images", 10, "image", 30.0), Part("label", "4", 4, "", 45.0))
    with schedule.part("fit"), schedule.task("fit x", 10) as bar:
        now[0] = 30.0
        bar.advance(5, "error 0.1")
        # Half of it took what the whole was expected to take.
        assert schedule.left() == pytest.approx(30 + 90)
        assert seen.behind == ["error 0.1  (2:00 left in all)"]
        now[0] = 60.0
        bar.advance(5)
    assert seen.notes == ["[1/2] fit: 10 images, about 0:30; 1:15 left in all"]
    assert schedule.left() == pytest.approx(90)
    with schedule.part("label"):
        assert seen.notes[-1] == "[2/2] label: 4, about 1:30"
        now[0] = 70.0
    assert schedule.left() == 0


def test_images_of_an_unknown_model_tell_of_other_images_alone(now: list[float]) -> None:
    schedule, seen = schedule_of(
        now, Part("fit", "10 images", 10, "image"), Part("harvest", "20 images", 20, "image"), Part("label", "4", 4)
    )
    schedule.announce("label --layer mid")
    assert seen.notes[1] == "  1. fit      10 images (known once it has begun)"
    assert schedule.left() is None
    with schedule.part("fit"), schedule.task("fit x", 10) as bar:
        now[0] = 50.0
        bar.advance(10)
    with schedule.part("harvest"):
        assert seen.notes[-1] == "[2/3] harvest: 20 images, about 1:40"
    assert schedule.left() is None


def test_what_was_done_before_a_stop_says_nothing_of_the_speed(now: list[float]) -> None:
    schedule, _ = schedule_of(now, Part("harvest", "100 images", 100, "image", 100.0))
    with schedule.part("harvest"), schedule.task("harvest x", 100, done=80) as bar:
        assert schedule.left() == pytest.approx(20)
        now[0] = 20.0
        bar.advance(10)
        assert schedule.left() == pytest.approx(20)


def test_a_part_that_is_not_on_the_schedule_passes_silently(now: list[float]) -> None:
    schedule, seen = schedule_of(now, Part("fit", "10 images", 10, "image", 30.0))
    with part_of(schedule, "evaluate"), part_of(NullProgress(), "fit"):
        pass
    assert seen.notes == []


def test_needed_steps_are_told_unless_a_schedule_has_told_them(now: list[float]) -> None:
    plan = Plan((Step("fit", "d", True, "topk"), Step("harvest", "d", False)))
    seen = Seen()
    tell_steps(seen, plan)
    assert seen.notes == ["fit      d: topk"]
    schedule, shown = schedule_of(now)
    tell_steps(schedule, plan)
    assert shown.notes == []
