"""The judge `reader` says what the picture shows, and is told nothing else."""

from dataclasses import replace

import numpy as np
import pytest

from autointerp.errors import NotAvailable
from autointerp.labeling.judging.apart import APART
from autointerp.labeling.judging.detection import DETECTION
from autointerp.labeling.judging.fuzzing import FUZZING
from autointerp.labeling.judging.intruder import INTRUDER
from autointerp.labeling.protocol import Trial
from autointerp.project.context import Context
from autointerp.project.labelers import LabelerRequest, make_judge
from autointerp.project.settings import Settings
from autointerp.project.workspace import WorkspaceFolder
from autointerp.shapes.reader import ReaderJudge
from training.shapes.vlm_pool import rendered_pool
from training.shapes.vlm_questions import Questions, Shown
from training.shapes.vlm_requests import evidence


@pytest.fixture(scope="module")
def pool():
    return rendered_pool(60)


@pytest.mark.parametrize("question", [DETECTION, FUZZING])
def test_it_agrees_with_the_exact_truth_of_renders(pool, question):
    rng, questions, right = np.random.default_rng(0), Questions(pool), []
    judge = ReaderJudge(question)
    for _ in range(25):
        asked = questions.judge(rng, 3, marked=question is FUZZING)
        trials = [Trial(asked.name, "", evidence(pool, s), False) for s in asked.shown]
        right += [v.holds == a for v, a in zip(judge.judge(trials), asked.answers, strict=True)]
    # The oracle reads 99% of cells.
    assert np.mean(right) > 0.93


def test_a_cell_of_another_grid_is_found_where_it_lies(pool):
    row, col = np.argwhere(pool.cells["part"][0] >= 0)[0].tolist()
    color = ["red", "orange", "yellow", "green", "cyan", "blue", "purple", "pink"]
    crop = evidence(pool, Shown(0, (row, col)))
    halved = replace(crop, grid=(24, 24), cell=(2 * row + 1, 2 * col))
    for shown in (crop, halved):
        judge = ReaderJudge(FUZZING)
        held = [name for name in color if judge.judge([Trial(name, "", shown, True)])[0].holds]
        assert len(held) == 1
    assert not ReaderJudge(FUZZING).judge([Trial("object", "", replace(crop, cell=None), True)])[0].holds


def test_it_reads_a_difference_where_features_are_told_apart(pool):
    row, col = np.argwhere(pool.cells["part"][0] >= 0)[0].tolist()
    crop = evidence(pool, Shown(0, (row, col)))
    for question, expected in ((APART, [True, True, False]), (FUZZING, [True] * 3)):
        # What the world has no words for tells nothing.
        trials = [Trial("object", "", crop, True, difference=one) for one in ("", "zeppelin", "background")]
        assert [v.holds for v in ReaderJudge(question).judge(trials)] == expected


def test_it_is_for_shapes_and_for_what_can_be_read(tmp_path):
    ctx = Context(WorkspaceFolder.create(tmp_path, Settings.from_values({})))
    request = LabelerRequest(judge="reader")
    assert isinstance(make_judge(ctx, request, FUZZING), ReaderJudge)
    with pytest.raises(NotAvailable, match="no intruder questions"):
        make_judge(ctx, request, INTRUDER)
    with pytest.raises(ValueError, match="no picture"):
        ReaderJudge(FUZZING).judge([Trial("red", "", None, True)])
