"""Notes are kept for the thread that listens."""

from __future__ import annotations

from threading import Thread

from autointerp.web.notes import CollectedNotes


def test_each_thread_has_its_own_notes() -> None:
    notes = CollectedNotes()
    notes.note("nobody listens")
    with notes.listen() as mine:
        other = Thread(target=lambda: notes.note("of another thread"))
        other.start()
        other.join()
        notes.note("one")
        notes.note("one")
        with notes.listen() as inner:
            notes.note("two")
        notes.note("three")
    notes.note("late")
    assert (mine, inner) == (["one", "three"], ["two"])
