"""Cases of edits, held against renders of both scenes, whose truth is exact."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from autointerp.shapes.edit_cases import KINDS, ShapesEdits, draw_case
from autointerp.shapes.scene_reader import scene_of_cells
from autointerp.shapes.scenes import Scene, held_out, render
from autointerp.worlds import SceneFacts

COUNT = 90


@pytest.fixture(scope="module")
def drawn() -> list[tuple]:  # type: ignore[type-arg]
    return [draw_case(n, 3) for n in range(COUNT)]


def facts_of(scene: Scene) -> SceneFacts:
    return scene_of_cells(render(scene).cells())


def test_kinds_take_turns_and_captions_are_held_out(drawn: list) -> None:  # type: ignore[type-arg]
    cases = [case for case, _, _ in drawn]
    assert Counter(case.kind for case in cases) == {kind: COUNT // len(KINDS) for kind in KINDS}
    assert all(held_out(case.source) and held_out(case.target) for case in cases)
    assert len({case.key for case in cases}) == len({case.seed for case in cases}) == COUNT
    # Case n is the same however many are asked for, and another seed has others.
    assert ShapesEdits().cases(4, 3) == cases[:4]
    assert ShapesEdits().cases(2, 4)[0].source != cases[0].source


def test_captions_differ_in_what_the_case_says(drawn: list) -> None:  # type: ignore[type-arg]
    for case, source, target in drawn:
        assert (case.source, case.target) == (source.caption, target.caption)
        before, after = (set(text.replace(",", "").split()) for text in (case.source, case.target))
        if case.kind in ("color", "shape", "texture", "size", "background"):
            assert after - before <= set(case.wanted.values())
            assert len(source.objects) == len(target.objects)
        else:
            gained = {"position": 0, "add": 1, "remove": -1, "replace": 0}[case.kind]
            assert len(target.objects) - len(source.objects) == gained


def test_the_wanted_picture_is_a_success_and_the_old_one_is_none(drawn: list) -> None:  # type: ignore[type-arg]
    bench, counted = ShapesEdits(), Counter[str]()
    for case, source, target in drawn:
        before, after = facts_of(source), facts_of(target)
        region = bench.region(case, before, after)
        if region is None:
            # A tiny object leaves no cell that an edit of the background must keep.
            assert case.kind == "background", case
            continue
        counted[case.kind] += 1
        wanted = bench.verdict(case, region, before, after)
        assert (wanted.reached, wanted.kept) == (True, 1.0), case
        same = bench.verdict(case, region, before, before)
        assert (same.reached, same.kept) == (False, 1.0), case
    assert all(counted[kind] >= 5 for kind in KINDS)


def test_what_changes_outside_is_not_kept(drawn: list) -> None:  # type: ignore[type-arg]
    bench = ShapesEdits()
    for case, source, target in drawn:
        if case.kind == "color" and len(target.objects) > 1:
            place = next(i for i, one in enumerate(target.objects) if one.position != case.place)
            other = target.objects[place]
            color = "red" if other.color != "red" else "blue"
            objects = list(target.objects)
            objects[place] = replace(other, color=color)
            spoiled = facts_of(replace(target, objects=tuple(objects)))
            before = facts_of(source)
            region = bench.region(case, before, facts_of(target))
            assert region is not None
            verdict = bench.verdict(case, region, before, spoiled)
            assert verdict.reached
            lost = (spoiled.cells["color"] != before.cells["color"]) & ~region
            assert lost.any()
            assert verdict.kept == pytest.approx(1 - lost.sum() / (~region).sum())
            return
    pytest.fail("no case of two objects")


def test_a_picture_without_what_its_caption_says_has_no_region(drawn: list) -> None:  # type: ignore[type-arg]
    bench = ShapesEdits()
    empty = scene_of_cells({name: np.full((12, 12), -1, np.int64) for name in render(drawn[0][1]).cells()})
    for case, _, target in drawn:
        found = bench.region(case, empty, facts_of(target))
        assert (found is None) == (case.kind != "add"), case
