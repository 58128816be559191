from __future__ import annotations

from hypothesis import given, strategies as st

from autointerp.db.models import LabelerRow
from autointerp.project.labeler_names import labeler_names, labelers_called

ROWS = st.lists(
    st.tuples(st.sampled_from(["clip", "vlm"]), st.sampled_from(["", "m", "n"]), st.sampled_from(["", "h", "i"])),
    unique=True,
    max_size=8,
)


def rows_of(columns: list[tuple[str, str, str]]) -> list[LabelerRow]:
    return [
        LabelerRow(id=number, kind=kind, model=model, base_url="", prompt_hash=prompt, config_hash="")
        for number, (kind, model, prompt) in enumerate(columns)
    ]


@given(ROWS)
def test_a_name_means_one_labeler(columns: list[tuple[str, str, str]]) -> None:
    rows = rows_of(columns)
    names = labeler_names(rows)
    assert len(set(names.values())) == len(rows)
    for row in rows:
        # `clip` alone means all of that kind, so it may be the name of one and call several.
        assert row.id in labelers_called(rows, names[row.id])
        assert labelers_called(rows, names[row.id]) == [row.id] or names[row.id] == row.kind


def test_a_kind_means_all_of_it() -> None:
    rows = rows_of([("clip", "a", ""), ("clip", "b", ""), ("vlm", "a", ""), ("vlm", "a", "x")])
    assert labelers_called(rows, "clip") == [0, 1]
    assert labelers_called(rows, "clip@b") == [1]
    assert labelers_called(rows, "vlm@a") == [2, 3]
    names = labeler_names(rows)
    assert (names[0], names[1]) == ("clip@a", "clip@b")
    assert names[2].startswith("vlm@a#")
    assert names[2] != names[3]


def test_a_model_that_is_named_for_its_labeler_says_the_kind_once() -> None:
    rows = rows_of([("shapes-vlm", "shapes-vlm@0123", ""), ("shapes-vlm", "shapes-vlm@4567", "")])
    assert labeler_names(rows) == {0: "shapes-vlm@0123", 1: "shapes-vlm@4567"}
    assert labelers_called(rows, "shapes-vlm@4567") == [1]
    assert labelers_called(rows, "shapes-vlm") == [0, 1]
