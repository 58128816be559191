"""The figures of the scores are those of the rows."""

from __future__ import annotations

import numpy as np
import pytest

from autointerp.project.context import Context
from autointerp.project.workspace import WorkspaceFolder
from autointerp.stages.score.figures import score_figures


def test_means_and_counts_are_those_of_the_rows(labeled, query):
    ctx = Context(WorkspaceFolder(labeled))
    (figures,) = score_figures(ctx, ctx.dictionary_named("shapes-turbo.mid.topk"))
    rows = query(labeled, "SELECT id, value, shuffled, unscored FROM scores WHERE method = 'embedding'")
    own = [value for _, value, shuffled, _ in rows if not shuffled]
    values = [value for value in own if value is not None]
    assert (figures.method, figures.judge, figures.chance) == ("embedding", None, 0.5)
    assert (figures.labels, figures.valueless) == (len(values), len(own) - len(values))
    assert figures.value == pytest.approx(np.mean(values))
    assert figures.ci_low <= figures.value <= figures.ci_high
    control = [value for _, value, shuffled, _ in rows if shuffled and value is not None]
    assert figures.shuffled == pytest.approx(np.mean(control))
    assert figures.shuffled_labels == len(control)
    trials = "SELECT count(*) FROM judgements j JOIN scores s ON s.id = j.score_id WHERE NOT s.shuffled"
    assert query(labeled, trials) == [(figures.trials,)]
    assert (figures.truth_auroc, figures.precision_r, figures.right_auroc) == (None, None, None)


def test_keys_are_those_of_evaluate_json(labeled):
    ctx = Context(WorkspaceFolder(labeled))
    (figures,) = score_figures(ctx, ctx.dictionary_named("shapes-turbo.mid.topk"))
    assert list(figures.as_dict()) == [
        "method", "judge", "labels", "valueless", "value", "ci_low", "ci_high", "chance", "shuffled",
        "shuffled_labels", "trials", "unscored", "truth_auroc", "precision_r",
        "right_auroc", "right_low", "right_high", "right_labels",
    ]  # fmt: skip


def test_no_label_of_these_labelers_has_no_figures(labeled):
    ctx = Context(WorkspaceFolder(labeled))
    assert score_figures(ctx, ctx.dictionary_named("shapes-turbo.mid.topk"), labelers=[]) == []
