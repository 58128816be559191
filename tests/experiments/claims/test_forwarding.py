"""A study's pictures count on the outer bar, each once, and no more than it has room for."""

from __future__ import annotations

from autointerp.experiments.claims.forwarding import StudyProgress


class Bar:
    def __init__(self) -> None:
        self.done, self.notes = 0, []  # type: ignore[var-annotated]

    def advance(self, n: int = 1, note: str = "") -> None:
        self.done += n
        if note:
            self.notes.append(note)


def test_pictures_count_once_and_the_rest_at_the_end() -> None:
    bar, progress = Bar(), StudyProgress("turbo")
    progress.begin(bar, 10)
    with progress.task("experiment edit", 8, 3, unit="image") as task:
        assert bar.done == 3
        task.advance(2, "color")
        task.advance(0, "size")
    assert bar.done == 5
    with progress.task("label", 100, unit="feature") as task:
        task.advance(100)
    assert bar.done == 5
    progress.end()
    assert bar.done == 10
    assert "turbo: experiment edit, 5/8 color" in bar.notes
    assert bar.notes[-1] == "turbo: label, 100/100"


def test_more_pictures_than_planned_do_not_overrun_the_bar() -> None:
    bar, progress = Bar(), StudyProgress("base")
    progress.begin(bar, 4)
    with progress.task("fit", 9, unit="image") as task:
        task.advance(9)
    progress.end()
    assert bar.done == 4


def test_nothing_is_said_between_units() -> None:
    bar, progress = Bar(), StudyProgress("base")
    progress.note("loading shapes")
    progress.begin(bar, 1)
    progress.note("loading shapes")
    progress.end()
    progress.note("late")
    assert bar.notes == ["base: loading shapes"]
