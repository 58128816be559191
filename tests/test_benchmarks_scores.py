"""The benchmarks of scores and of evidence: names are broken and eyes err as they say, and the rule names the truth."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from autointerp.errors import UsageError
from autointerp.labeling.judging.gain import Gain
from autointerp.labeling.protocol import CropEvidence, FeatureEvidence, Trial
from autointerp.project.context import Context
from autointerp.project.evidence import EvidenceReader
from autointerp.project.workspace import WorkspaceFolder
from autointerp.shapes.concepts import all_concepts, concept_masks
from benchmarks import evidence, judge_batch, right_labels, sanity
from benchmarks.eyes import ExactEyes, NoisyEyes


def test_noisy_eyes_turn_round_the_share_that_they_say(labeled: Path) -> None:
    ctx = Context(WorkspaceFolder(labeled))
    reader = EvidenceReader(ctx.db, ctx.dictionary_named("shapes-turbo.mid.topk"))
    trials = [Trial("object", "", crop, True) for crop in reader.cells.random_cells("score", 50, 0)]
    trials += [Trial(name, "", trial.crop, True) for trial in trials for name in ("red", "edge", "night", "dotted")]
    question, exact = Gain().question, ExactEyes()
    assert question is not None
    noisy = NoisyEyes(exact, 0.15)
    true, heard = (np.array([one.holds for one in eyes.judge(question, trials)]) for eyes in (exact, noisy))
    assert 0.1 < (true != heard).mean() < 0.2
    assert heard.tolist() == [one.holds for one in noisy.judge(question, trials)]
    assert noisy.name == "15% flipped"


def test_figures_hold_right_names_against_those_of_each_way() -> None:
    names = [sanity.Name(i, i, "right", None) for i in range(4)]
    names += [sanity.Name(i, i, "wrong", "too broad") for i in range(3)] + [sanity.Name(3, 3, "wrong", "random")]
    values = [0.9, 0.8, 0.7, 0.6, 0.1, 0.2, 0.75, 0.6]
    figures = {one.way: one for one in sanity.figures_of("gain", "exact eyes", names, values)}
    assert set(figures) == {"all", "too broad", "random"}
    # The fourth feature has no name that is too broad, so it is no part of that figure.
    assert figures["too broad"].value == pytest.approx(8 / 9)
    assert figures["random"].value == 0.5
    assert [figures[way].names for way in ("all", "too broad", "random")] == [4, 3, 1]
    told = sanity.table(list(figures.values())).splitlines()
    assert told[0].count("|") == told[1].count("|") == told[2].count("|")
    assert "| - |" in told[2]


def test_a_threshold_parts_two_groups() -> None:
    assert 1.0 < right_labels.otsu(np.array([0.0, 0.5, 1.0, 4.0, 4.5, 5.0])) < 4.0
    sure = right_labels.AnsweredLabel("a", np.full(20, 0.4), np.array([0.01] * 40 + [0.4] * 10))
    wrong = right_labels.AnsweredLabel("a", np.array([0.01] * 16 + [0.4] * 4), sure.base)
    # Yes is never likelier than no, so only a threshold of the name tells the labels apart, or probabilities.
    assert right_labels.calibrated([sure, wrong]) == pytest.approx([0.8, 0.0])
    assert right_labels.ranked([wrong]) == pytest.approx([0.5])
    assert right_labels.soft([sure]) == pytest.approx([0.4 - sure.base.mean()])


def test_names_alone_tell_names_apart_and_nothing_within_a_name() -> None:
    named = dict(enumerate(["edge"] * 4 + ["red"] * 4))
    right = [True, True, True, False, True, False, False, False]
    line = right_labels.names_line(named, lambda latent, _: right[latent])
    assert line.split()[8] == "0.750"  # 9 of 16 pairs right, 6 tied
    values = np.array([0.9, 0.8, 0.4, 0.5, 0.2, 0.3, 0.1, 0.0])
    within = right_labels.within_line(list(named.values()), np.array(right), values)
    assert within.split()[3] == "0.667"
    assert "6 pairs of 2 names" in within
    assert "no name is both" in right_labels.within_line(["a", "b"], np.array([True, False]), np.ones(2))


def test_labels_of_another_dictionary_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "labels.jsonl"
    lines: list[dict[str, Any]] = [{"weights_sha256": "a"}, {"index": 3, "status": "ok", "name": "red"}]
    file.write_text("\n".join(map(json.dumps, [*lines, {"index": 4, "status": "uninterpretable", "name": ""}])))
    assert right_labels.read_labels(file, SimpleNamespace(weights_sha256="a")) == {3: "red"}  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="another dictionary"):
        right_labels.read_labels(file, SimpleNamespace(weights_sha256="b"))  # type: ignore[arg-type]


def test_right_labels_runs_on_the_labels_of_a_workspace(labeled: Path) -> None:
    options = [str(labeled), "--labels", "own", "--eyes", "exact", "--questions", "12", "--images", "24"]
    done = CliRunner().invoke(right_labels.main, options, catch_exceptions=False)
    gain, *stored = done.output.splitlines()
    assert gain.startswith("gain by exact eyes, at most 12")
    assert any(line.startswith("stored embedding") for line in stored)


def crop(image: int, cell: tuple[int, int], role: Any, activation: float, on: list[tuple[int, int]]) -> CropEvidence:
    heat = np.zeros((12, 12), np.float32)
    heat[tuple(np.array(on).T)] = activation
    return CropEvidence(image, image, "", None, (0, 0, 8, 8), (12, 12), cell, activation, heat, role, 0.5)  # type: ignore[arg-type]


def test_each_evidence_shows_its_own_cells() -> None:
    stored = [crop(i, (1, 1), "top" if i < 3 else "quantile", 3.0 - 0.1 * i, [(1, 1), (2, 2)]) for i in range(8)]
    weak = crop(9, (1, 1), "quantile", 0.1, [(1, 1)])
    drawn = [crop(i, (5, 5), "active", 2.0, [(5, 5), (5, 6)]) for i in range(6)]
    feature = FeatureEvidence("f", 1, 0.1, (*stored, weak), (), tuple(drawn))
    marked = {way: chosen(feature, 5) for way, chosen in evidence.CHOSEN.items()}
    assert {way: len(some) for way, some in marked.items()} == {"peaks": 5, "quantiles": 5, "cells": 5, "maps": 5}
    assert {way: int(some[0][1].sum()) for way, some in marked.items()} == {
        "peaks": 1, "quantiles": 1, "cells": 1, "maps": 2,
    }  # fmt: skip
    assert all(one.role == "quantile" and one is not weak for one, _ in marked["quantiles"])
    assert all(mask[5, 5] and mask[5, 6] for _, mask in marked["maps"])


def test_the_oracle_labeler_names_the_narrowest_shared_concept(cells: dict[str, np.ndarray]) -> None:
    concepts, masks = concept_masks(cells)
    by_image = {image: masks[:, image] for image in range(60)}
    world = evidence.ReadWorld(range(60), cells)
    names = {concept.name: n for n, concept in enumerate(concepts)}

    def shown(name: str) -> list[tuple[CropEvidence, np.ndarray]]:
        there = [image for image in range(60) if by_image[image][names[name]].any()]
        return [(crop(image, (0, 0), "active", 1.0, [(0, 0)]), by_image[image][names[name]]) for image in there]

    for name in ("red", "edge", "night", "star"):
        assert world.named(shown(name), 0.75) == name
    everywhere = [(crop(image, (0, 0), "active", 1.0, [(0, 0)]), np.ones((12, 12), bool)) for image in range(60)]
    assert world.named(everywhere, 0.75) == ""
    assert world.named(shown("red")[:3], 0.75) == ""
    truths = [SimpleNamespace(concept=one) for one in all_concepts() if one.name in ("red", "night")] + [None]
    said = {0: truths[0].concept.name, 1: "sand background", 2: "edge"}  # type: ignore[union-attr]
    judged = evidence.judged("way", said, truths, world)  # type: ignore[arg-type]
    assert (judged.specific, judged.grounded, judged.exact, judged.truthless) == ((1, 1), (1, 2), (1, 2), (1, 1))
    assert evidence.line(judged).startswith("| way | 100.0%")


def test_questions_of_a_batch_are_of_one_label(labeled: Path) -> None:
    ctx = Context(WorkspaceFolder(labeled))
    asked = judge_batch.trials_of(ctx, "mid", 5)
    assert len(asked) == 5
    for trials in asked:
        assert len({trial.name for trial in trials}) == 1
        assert {trial.kind for trial in trials} == {"active", "base"}
        assert len(trials) <= 16
    line = judge_batch.Line(8, 3, 0.5, 1.0, 0.0, 12.0, 1234.5, 0.25)
    head, rule, row = judge_batch.table([line]).splitlines()
    assert head.count("|") == rule.count("|") == row.count("|")
    assert "| 50.0% | 100.0% | 75.0% |" in row
