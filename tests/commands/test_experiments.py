"""`steer` at the command line; tests/experiments/test_steer.py has its pictures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.commands.lines import Misuse, check_misuse

MISUSE: Misuse = {
    "no prompt": (["steer", "x:1", "-o", "x.png"], 2, ["--prompt"]),
    "no file": (["steer", "x:1", "--prompt", "a"], 2, ["--out"]),
    "no feature": (["steer", "x", "--prompt", "a", "-o", "x.png"], 2, ["DICTIONARY:INDEX"]),
    "no dictionary": (["steer", "x:1", "--prompt", "a", "-o", "x.png"], 2, ["no dictionary 'x'"]),
    "no picture file": (["steer", "x:1", "--prompt", "a", "-o", "x.jpg"], 2, [".png"]),
    "steps that are no span": (["steer", "x:1", "--prompt", "a", "-o", "x.png", "--steps", "3"], 2, ["A:B"]),
    "steps that the model lacks": (["steer", "x:1", "--prompt", "a", "-o", "x.png", "--steps", "0:900"], 2, ["steps"]),
    "a box that is none": (["steer", "x:1", "--prompt", "a", "-o", "x.png", "--box", "1,2"], 2, ["R0,C0,R1,C1"]),
}


@pytest.mark.parametrize("case", sorted(MISUSE))
def test_misuse_is_one_line_with_what_to_do(
    made: Path, cli: Callable[..., Any], case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(made.parent)
    check_misuse(cli, made, MISUSE[case])
    assert not list(made.parent.glob("x.*"))
