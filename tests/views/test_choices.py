"""What lists offer to choose from."""

from __future__ import annotations

from pathlib import Path

from autointerp.project.context import Context
from autointerp.project.workspace import WorkspaceFolder
from autointerp.views.choices import ListChoices, read_choices


def test_names_come_from_what_is_stored(labeled: Path, made: Path) -> None:
    found = read_choices(Context(WorkspaceFolder(labeled)))
    assert (found.layers, found.dictionaries) == (("mid",), ("shapes-turbo.mid.topk",))
    assert [name.partition("@")[0] for name in found.labelers] == ["clip"]
    assert list(found.steps) == sorted(found.steps, key=int) != []
    assert read_choices(Context(WorkspaceFolder(made))) == ListChoices((), (), (), ())
