from __future__ import annotations

from pathlib import Path

from sqlalchemy import select

from autointerp.db.models import Label
from autointerp.labeling.namesakes import words_of
from autointerp.project.context import Context
from autointerp.project.workspace import WorkspaceFolder
from autointerp.stages.index.namesakes import label_namesakes


def test_labels_of_one_labeler_are_compared_by_words_and_vectors(workspace: Path) -> None:
    ctx = Context(WorkspaceFolder(workspace))
    with WorkspaceFolder(workspace).db.session() as session:
        first, second, third, *others = session.scalars(select(Label).where(Label.status == "ok").order_by(Label.id))
        first.name, second.name, third.name = "red circle", "circle, red", "blue square"
        # Other labels would be of names that the model's own words bring about.
        for one in others:
            one.status = "uninterpretable"
        ids = [first.id, second.id, third.id]
    dictionary = ctx.dictionary_named("shapes-turbo.mid.topk")
    assert words_of("red circle") != words_of("circle, red")
    found = label_namesakes(ctx, dictionary)
    assert {key: [label.id for label in some] for key, some in found.items()} == {
        ids[0]: [ids[1]],
        ids[1]: [ids[0]],
        ids[2]: [],
    }
    assert label_namesakes(ctx, dictionary, labelers=[0]) == {}
