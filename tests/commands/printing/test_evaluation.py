"""Each figure of an evaluation stands beside its control."""

from __future__ import annotations

from typing import Any

import pytest

from autointerp.commands.printing.evaluation import print_evaluation

FIGURES: dict[str, Any] = {
    "dictionary": "d", "features": 64, "dead": 4, "images": 12, "controls": None, "fvu": 0.25, "fvu_normalized": 0.5,
    "explained_variance": 0.75, "r2_mean": 0.6, "l0": 2.0, "dead_share": 0.1, "dense_share": 0.0,
    "image_change": None, "denoising_error": None, "loss_recovered": None, "scores": [], "unseen_prompts": 1.0,
    "fine": None,
}  # fmt: skip
SCORE: dict[str, Any] = {
    "method": "embedding", "judge": "", "value": 0.8, "chance": 0.5, "shuffled": 0.51, "labels": 9, "truth_auroc": None,
    "precision_r": None, "valueless": 0, "unscored": 0, "trials": 90, "right_auroc": None,
}  # fmt: skip
RIGHT = {"right_auroc": 0.75, "right_low": 0.6, "right_high": 0.9, "right_labels": 4}
APART: dict[str, Any] = {
    "distinct_before": 22, "distinct_extensions": 21, "pairs": 500, "stated": 30, "stated_hold": 0.7,
    "stated_shuffled": 0.3, "differ": 0.88, "duplicates": 6, "duplicates_recognised": 0.5, "mistaken": 0.125,
}  # fmt: skip
LABEL_FIGURES = (
    "exact", "exact_specific", "macro_exact", "gain_share", "gain_share_specific", "macro_gain_share", "lenient",
    "lenient_specific",
)  # fmt: skip


def printed(figures: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> str:
    print_evaluation(figures)
    return capsys.readouterr().out


def test_without_truth_and_without_a_splice(capsys: pytest.CaptureFixture[str]) -> None:
    out = printed(FIGURES, capsys)
    assert out.startswith("d: 64 features (4 dead), 12 held-out images\n")
    assert "grounded" not in out
    assert "loss recovered" not in out
    assert "0.500 with every dimension scaled to 1" in out


def test_with_truth_a_splice_and_scores(capsys: pytest.CaptureFixture[str]) -> None:
    control = {"grounded": 0.2, "specific": 0.1}
    labels = dict.fromkeys(LABEL_FIGURES, 0.05)
    constant = {**dict.fromkeys(LABEL_FIGURES, 0.65), "names": dict.fromkeys(LABEL_FIGURES, "large edge")}
    controls = {"random": control, "raw": {**control, "specific": 0.03}, "constant": constant, "majority": labels}
    truth = {
        **dict.fromkeys(LABEL_FIGURES, 0.7), "labeled": 60, "grounded": 0.9, "specific": 0.5, "exact_specific": 0.61,
        "gain_share": -0.125, "truthless_named": 0.71, "verdicts": {"exact": 40, "too broad": 3, "wrong": 9},
        "unreadable": {"zeppelin": "no such word"}, "controls": {**controls, "shuffled": {**labels, "exact": 0.04}},
        "intervals": {"exact_specific": [0.5, 0.72], "specific": [0.4, 0.6], "exact": None},
        "repeats": {"exact": 0.88, "macro_exact": None}, "distinct_names": 33, "told_apart": None, "apart": APART,
    }  # fmt: skip
    splice = {
        "loss_recovered": 0.9,
        "denoising_error": {"unchanged": 0.1, "spliced": 0.11, "zeroed": 0.2},
        "image_change": {"spliced": 0.02, "zeroed": 0.4},
    }
    judged = {**SCORE, "judge": "vlm@m", "truth_auroc": 0.7, "precision_r": 0.2, **RIGHT, "valueless": 3, "unscored": 4}
    out = printed({**FIGURES, **truth, **splice, "scores": [SCORE, judged]}, capsys)
    for words in (
        "90.0%", "random directions 20.0%", "raw latents 3.0%", "50.0% (40 to 60)", "61.0% (50 to 72)",
        "-12.5%", "71.0%",
        "0.400 by zeroing the layer",
        "constant 65.0% by `large edge`, majority 5.0%, shuffled 4.0%, ceiling 88.0%",
        "3 too broad, 9 wrong; 1 name cannot be read",
        "denoising error 0.11, unchanged 0.1, zeroed 0.2", "embedding score by vlm@m",
        "tells features with a truth at AUROC 0.700, r with precision 0.200, 3 without a value, 4 of 90 trials",
        "9 labels, 4 exact, told from others at AUROC 0.750 (0.600 to 0.900)",
        "22 before features were told apart", "of names whose every word holds",
    ):  # fmt: skip
        assert words in out
    assert "pairs told apart" not in out


def test_names_that_were_told_apart(capsys: pytest.CaptureFixture[str]) -> None:
    control = {**dict.fromkeys(LABEL_FIGURES, 0.1), "names": dict.fromkeys(LABEL_FIGURES, "red"), "told_apart": 0.2}
    truth = {
        **dict.fromkeys(LABEL_FIGURES, 0.7), "labeled": 60, "grounded": 0.9, "specific": 0.5, "truthless_named": 0.7,
        "verdicts": {"exact": 40}, "unreadable": {}, "repeats": {}, "distinct_names": 33, "told_apart": 0.625,
        "apart": APART, "controls": dict.fromkeys(("constant", "majority", "shuffled"), control),
        "intervals": {"told_apart": [0.5, 0.7], "distinct_extensions": [18.2, 23.9], "duplicates_recognised": None},
    }  # fmt: skip
    out = printed({**FIGURES, **truth}, capsys)
    for words in (
        "62.5% (50 to 70)", "of 500 of one name; shuffled 20.0%, some concept tells 88.0%", "21 (18 to 24)",
        "of 6 answers; of others 12.5% are said to be", "70.0%", 
        "of 30 stated of a feature and one of its name; shuffled 30.0%",
    ):  # fmt: skip
        assert words in out
    nothing = printed(
        {**FIGURES, **truth, "apart": {**APART, "duplicates": 0, "stated": 0, "stated_hold": None}}, capsys
    )
    assert "duplicates" not in nothing
    assert "differences" not in nothing


def test_without_labels_nothing_is_said_of_them(capsys: pytest.CaptureFixture[str]) -> None:
    beside = {"intervals": {}, "controls": {"random": {"grounded": 0.2, "specific": 0.1}}}
    out = printed({**FIGURES, "labeled": 0, "grounded": 0.9, "specific": 0.5, **beside}, capsys)
    assert "specific truth" in out
    assert "exact" not in out


def test_the_finer_list_stands_beside_its_control(capsys: pytest.CaptureFixture[str]) -> None:
    fine = {"grounded": 0.6, "narrower": 0.2, "distinct": 50, "moved": {"grounded": 0.02, "places": 0.01}}
    fine |= {"exact": 0.33, "exact_narrower": None}
    out = printed({**FIGURES, "fine": fine, "unseen_prompts": 0.25}, capsys)
    assert "12 held-out images, of which 75.0% have prompts that were harvested" in out
    assert "activations moved to other pictures 2.0%, 1.0% places" in out
    assert "50 truths that differ" in out
    assert "33.0%" in out
    assert "- of the narrower truths" in out
