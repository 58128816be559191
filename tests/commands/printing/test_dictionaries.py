"""Status, labelers and a comparison in words."""

from __future__ import annotations

from dataclasses import replace

import pytest

from autointerp.commands.printing.dictionaries import print_comparison, print_labelers, print_labels, print_status
from autointerp.views.compare import Comparison, MatchedPair
from autointerp.views.label_list import ListedLabel
from autointerp.views.labelers import LabelerSummary
from autointerp.views.status import DictionaryStatus, Spending, Status

ROW = DictionaryStatus(
    dictionary="d", layer="mid", stream="image", kind="topk", features=64, live=50, dead=10, dense=4, labels=40,
    uninterpretable=5, failed=1, scores=80, images=100, crops=900, fvu=0.25, l0=2.0, figures={"fvu": 0.25, "l0": 2.0},
)  # fmt: skip
NOTHING = Spending(
    calls=0, answers=0, input_tokens=0, output_tokens=0, spent=0.0, unpriced=0, remaining=0, expected=None
)


def test_a_status_without_dictionaries_says_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    print_status(Status("w", "shapes", (), NOTHING))
    assert "run `autointerp label --layer mid`" in capsys.readouterr().out


def test_a_dictionary_is_a_line_and_calls_are_another(capsys: pytest.CaptureFixture[str]) -> None:
    print_status(Status("w", "shapes", (ROW,), NOTHING))
    head, names, row = capsys.readouterr().out.splitlines()
    assert head == "workspace w, model shapes"
    assert row.split() == ["d", "64", "50", "10", "4", "40", "5", "1", "80", "0.250", "-", "-", "2.000", "-"]
    assert names.split()[:4] == ["dictionary", "features", "live", "dead"]
    print_status(Status("w", "shapes", (replace(ROW, assumed=("k 3 is yours",)),), NOTHING))
    assert capsys.readouterr().out.splitlines()[-1] == "d, assumed when it was imported: k 3 is yours"
    spent = replace(NOTHING, calls=7, answers=6, spent=0.0123, unpriced=2, remaining=9, expected=0.5)
    print_status(Status("w", "shapes", (ROW,), spent))
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == (
        "7 calls, 6 answered: $0.0123 spent and 2 answers of unknown price; 9 features left, about $0.5000 expected"
    )
    print_status(Status("w", "shapes", (ROW,), replace(spent, expected=None)))
    assert capsys.readouterr().out.endswith("9 features left, at an unknown price\n")
    print_status(Status("w", "shapes", (ROW,), replace(NOTHING, calls=7, answers=7)))
    assert capsys.readouterr().out.endswith("7 calls, 7 answered: free\n")


def test_labelers_stand_beside_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    print_labelers([])
    assert "no labels yet" in capsys.readouterr().out
    one = LabelerSummary(
        dictionary="d", labeler="clip", kind="clip", model="m", base_url="", prompt_hash="", labels=3,
        uninterpretable=1, failed=0, counting=2, scores={"embedding": 0.75},
    )  # fmt: skip
    print_labelers([one, replace(one, labeler="vlm@m", scores={"detection": 0.5})])
    names, first, second = capsys.readouterr().out.splitlines()
    assert names.split()[-2:] == ["embedding", "detection"]
    assert first.split() == ["d", "clip", "3", "1", "0", "2", "0.750", "-"]
    assert second.split()[-2:] == ["-", "0.500"]


def test_labels_are_listed_with_what_tells_them_apart(capsys: pytest.CaptureFixture[str]) -> None:
    told = ListedLabel(
        "d:1", "ok", "red edge", "vlm@m", 0.9, "gain", 0.5, "left edge", ("d:2", "d:30"), ("d:4",), "red"
    )
    print_labels([told, ListedLabel("d:2", "failed", "", "vlm@m", 0.0, "", None, "", (), (), "")])
    names, first, second = capsys.readouterr().out.splitlines()
    assert names.split() == ["feature", "name", "labeler", "score", "value", "only", "this", "one", "of", "same", "as"]
    assert first.split() == ["d:1", "red", "edge", "vlm@m", "gain", "0.500", "left", "edge", "2,", "30", "4"]
    assert second.split()[:3] == ["d:2", "failed", "vlm@m"]
    print_labels([])
    assert "autointerp label" in capsys.readouterr().out


def test_a_comparison_without_atoms(capsys: pytest.CaptureFixture[str]) -> None:
    pair = MatchedPair(("a:1", "b:2"), 0.9, ("red", None))
    print_comparison(Comparison(("a", "b"), (4, 5), None, (0.5, 0.25), (0.5, 0.2), 3, (pair,)))
    out = capsys.readouterr().out
    assert "no atoms" in out
    assert "a:1      b:2      0.900   red   -" in out
