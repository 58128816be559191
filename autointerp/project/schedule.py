"""The schedule of a long command: its parts, how long each is expected to take, and what is left in all.

Expected times come from a reference machine, scaled by a short measurement of this one. As soon as parts were under way
for a few seconds, what they took corrects the times of all parts that are left. A part whose time is not known
beforehand, such as the images of a model that people name, gets one when a part of the same units was measured.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass

from typing_extensions import override

from autointerp.progress import Progress, Task, clock
from autointerp.project.plan import Plan

_TRUSTED_SECONDS = 2.0
"""A part that was under way for less says little of the machine's speed."""


@dataclass(frozen=True)
class Part:
    """A part of a command.

    Attributes:
        name: The part's name, by which it is begun.
        what: What it does, for people.
        units: How many units its bars count; 0 where it has none.
        unit: What a unit is. Parts with the same unit, other than the empty one, take about the same time for one.
        seconds: How long it is expected to take; None where that is not known.
    """

    name: str
    what: str
    units: int = 0
    unit: str = ""
    seconds: float | None = None


class _Running:
    """A part under way or done: when it began, how much of it was done before, and how much is done now."""

    def __init__(self, part: Part, now: float) -> None:
        self.part, self.began = part, now
        self.took: float | None = None
        self.before = self.done = 0

    @property
    def share(self) -> float:
        """How much of the part is done, from 0 to 1."""
        if self.took is not None:
            return 1.0
        return min(self.done / self.part.units, 1.0) if self.part.units else 0.0

    def seconds(self, now: float) -> float:
        """Return for how long it has been under way, or how long it took."""
        return now - self.began if self.took is None else self.took


class WorkSchedule(Progress):
    """The parts of a command under way. It is the command's `Progress`, and says behind each bar what is left in all.

    Args:
        progress: Where progress is shown.
        parts: The parts in the order in which they run.
        now: The clock.
    """

    def __init__(self, progress: Progress, parts: Sequence[Part], now: Callable[[], float] = time.monotonic) -> None:
        self.shown, self.parts, self._now = progress, list(parts), now
        self.began = now()
        self._running: dict[str, _Running] = {}
        self._current: _Running | None = None

    def announce(self, heading: str) -> None:
        """Note what is to be done, part by part, with the time that each is expected to take."""
        known = [part.seconds for part in self.parts if part.seconds is not None]
        total = f", about {clock(sum(known))} on this machine" if len(known) == len(self.parts) and known else ""
        self.note(f"{heading}: {len(self.parts)} part{'s' * (len(self.parts) > 1)}{total}")
        width = max((len(part.name) for part in self.parts), default=0)
        for number, part in enumerate(self.parts, start=1):
            about = "known once it has begun" if part.seconds is None else f"about {clock(part.seconds)}"
            self.note(f"  {number}. {part.name:{width}}  {part.what} ({about})")

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Run a part; of a name that the schedule lacks nothing is said or measured."""
        part = next((one for one in self.parts if one.name == name and name not in self._running), None)
        if part is None:
            yield
            return
        number = self.parts.index(part) + 1
        outer, self._current = self._current, _Running(part, self._now())
        self._running[name] = mine = self._current
        expected = self._expected(part)
        left = self.left()
        times = "" if expected is None else f", about {clock(expected)}"
        times += "" if left is None or number == len(self.parts) else f"; {clock(left)} left in all"
        self.note(f"[{number}/{len(self.parts)}] {part.name}: {part.what}{times}")
        try:
            yield
        finally:
            mine.took = self._now() - mine.began
            self._current = outer

    def left(self) -> float | None:
        """Return how many seconds all that is left takes; None where that cannot be said yet."""
        now, total = self._now(), 0.0
        for part in self.parts:
            running = self._running.get(part.name)
            seconds = self._expected(part)
            if running is None:
                share = 0.0
            elif running.took is not None:
                continue
            else:
                share = running.share
                began = running.before / part.units if part.units else 0.0
                if share > began and running.seconds(now) >= _TRUSTED_SECONDS:
                    # Its own speed says more than anything else.
                    total += running.seconds(now) / (share - began) * (1 - share)
                    continue
                if seconds is not None and not part.units:
                    total += max(seconds - running.seconds(now), 0.0)
                    continue
            if seconds is None:
                return None
            total += seconds * (1 - share)
        return total

    def _expected(self, part: Part) -> float | None:
        """Return how long a part takes from its beginning, by what was measured so far."""
        now = self._now()
        if part.seconds is not None:
            return part.seconds * self._slowness(now)
        alike = [one for one in self._running.values() if part.unit and one.part.unit == part.unit]
        made = sum(one.done - one.before for one in alike)
        return sum(one.seconds(now) for one in alike) / made * part.units if made else None

    def _slowness(self, now: float) -> float:
        """Return how much longer than expected the parts took so far; 1 before that can be told."""
        took = expected = 0.0
        for one in self._running.values():
            seconds, part = one.seconds(now), one.part
            if part.seconds is None or seconds < _TRUSTED_SECONDS:
                continue
            share = one.share - (one.before / part.units if part.units else 0.0)
            if share > 0.05:
                took, expected = took + seconds, expected + part.seconds * share
        return took / expected if expected else 1.0

    @contextmanager
    @override
    def task(self, what: str, total: int, done: int = 0, unit: str = "it") -> Iterator[Task]:
        """See `Progress`."""
        running = self._current
        if running is not None:
            running.before += done
            running.done += done
        with self.shown.task(what, total, done, unit) as task:
            yield _CountedTask(self, running, task)

    def note(self, text: str) -> None:
        """See `Progress`."""
        self.shown.note(text)


class _CountedTask:
    """A bar whose units count for a part of a schedule."""

    def __init__(self, schedule: WorkSchedule, running: _Running | None, task: Task) -> None:
        self._schedule, self._running, self._task = schedule, running, task
        self._note = ""

    def advance(self, n: int = 1, note: str = "") -> None:
        """See `Task`."""
        self._note = note or self._note
        if self._running is not None:
            self._running.done += n
        left = self._schedule.left()
        shown = "" if left is None else f"({clock(left)} left in all)"
        self._task.advance(n, "  ".join(filter(None, (self._note, shown))))


def tell_steps(progress: Progress, plan: Plan) -> None:
    """Note what a command is about to make, a line for each needed step of its plan, unless a schedule has said so."""
    if isinstance(progress, WorkSchedule):
        return
    for step in plan.steps:
        if step.needed:
            progress.note(step.text)


def part_of(progress: Progress, name: str) -> AbstractContextManager[None]:
    """Run a part of the command's schedule, where the command has one."""
    return progress.part(name) if isinstance(progress, WorkSchedule) else nullcontext()
