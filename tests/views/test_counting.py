"""Labels that count, in plain columns, are those of `queries.labels.best`."""

from __future__ import annotations

from autointerp.db import queries
from autointerp.project.context import Context
from autointerp.views.counting import labels_that_count


def test_they_are_the_best_labels_of_every_feature(small: Context) -> None:
    with small.db.session() as session:
        (row,) = queries.dictionaries.list_all(session)
        best = queries.labels.best(session, row.id, None, ("ok", "uninterpretable", "failed"))
        found = labels_that_count(session)
        assert len(best) > 1
        assert {feature: line.id for feature, line in found.items()} == {
            feature: one.label.id for feature, one in best.items()
        }
        labelers = [labeler.id for labeler in queries.labelers.with_labels(session)]
        assert len(labelers) > 1
        for labeler in labelers:
            best = queries.labels.best(session, row.id, [labeler], ("ok", "uninterpretable", "failed"))
            assert {feature: line.id for feature, line in labels_that_count(session, [labeler]).items()} == {
                feature: one.label.id for feature, one in best.items()
            }
