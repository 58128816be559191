from __future__ import annotations

from typing import Any

import pytest

from autointerp.commands.printing.benchmark import print_naming, print_scoring


def _group(**more: Any) -> dict[str, Any]:
    verdicts = {"exact": 1, "too broad": 2, "too narrow": 0, "overlapping": 0, "wrong": 1}
    figures = {"exact": 0.25, "macro_exact": 0.5, "gain_share": None}
    ends = {"exact": [0.1, 0.4], "macro_exact": None, "gain_share": None}
    other = {"units": 4, "missing": 1, "truthless_named": None, "unreadable": {}, "verdicts": verdicts}
    return {**figures, "intervals": ends, **other, **more}


def test_controls_stand_below_their_group(capsys: pytest.CaptureFixture[str]) -> None:
    names = {f"word{i}": "no word" for i in range(7)}
    control = {"exact": 0.1, "macro_exact": 0.2, "gain_share": 0.3}
    groups = {"synthetic": _group(controls={"constant": control}, unreadable=names), "synthetic: A": _group()}
    print_naming({"groups": groups})
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split()[:2] == ["synthetic", "4"]
    assert "25.0% (10 to 40)" in lines[1]
    assert lines[2].split() == ["constant", "10.0%", "20.0%", "30.0%"]
    assert "1 units have no name in the file: each counts as wrong" in lines
    assert lines[-1].startswith("2 more names hold nowhere")


def test_each_way_has_a_column(capsys: pytest.CaptureFixture[str]) -> None:
    ways = {"all": {"auroc": 0.75, "interval": [0.5, 0.9]}, "too broad": {"auroc": 0.5, "interval": None}}
    print_scoring({"ways": ways, "controls": {"rarest": ways}, "missing": 2})
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split() == ["values", "0.75", "(0.50", "to", "0.90)", "0.50"]
    assert lines[2].split()[0] == "rarest"
    assert lines[3].startswith("2 labels have no value")
