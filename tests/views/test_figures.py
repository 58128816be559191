from __future__ import annotations

from autointerp.views.figures import Figure, figure_text, tables_of


def test_a_table_a_name_with_controls_last_and_gaps_where_nothing_was_measured() -> None:
    figures = [
        Figure("iou", "step 0", "random", 0.1, control=True),
        Figure("iou", "step 0", "codes", 0.5, 0.4, 0.6, 9),
        Figure("iou", "step 1", "codes", 0.7),
        Figure("l0", "step 0", "codes", 32.0),
    ]
    iou, l0 = tables_of(figures)
    assert (iou.name, iou.ways, iou.groups) == ("iou", ("codes", "random"), ("step 0", "step 1"))
    assert iou.controls == {"random"}
    assert iou.cells == ((figures[1], figures[0]), (figures[2], None))
    assert l0.cells == ((figures[3],),)


def test_texts_of_figures() -> None:
    assert figure_text(Figure("a", "b", "c", 0.41234, 0.39, 0.431)) == "0.412 (0.390 to 0.431)"
    assert figure_text(Figure("a", "b", "c", 32.04)) == "32.0"
    assert figure_text(Figure("a", "b", "c", 4321.0)) == "4321"
    assert figure_text(None) == figure_text(Figure("a", "b", "c", None)) == "-"
