"""Start-up: whole processes of the command line against an interpreter that does nothing, or that imports torch.

The searches are of a small workspace that is made first: one dictionary of 64 latents, and labels by `clip`. A new
question is embedded by the model, and one that was asked before is not.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path

from benchmarks.pairs import Row, interleave

PAIRS, QUICK_PAIRS = 15, 2
_NOTHING, _TORCH = ["-c", "pass"], ["-c", "import torch"]
_AUTOINTERP = ["-m", "autointerp.cli"]
_SETTINGS = (
    *("labeler=clip", "images=40", "fit_images=13", "steps=2", "capture_steps=[1]"),
    *("dictionary.latents=64", "dictionary.k=2", "dictionary.passes=1", "dictionary.buffer=576"),
    *("crops.top=6", "crops.quantile=4", "crops.negatives=6"),
)
"""A workspace that is made in half a minute."""


def seconds_of(arguments: list[str]) -> dict[str, float]:
    """Wall time of one process of this interpreter."""
    begun = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return {"seconds": time.perf_counter() - begun}


def run(quick: bool, pairs: int | None = None) -> list[Row]:
    """Time each pair; the first start of each only fills the disk cache."""
    number = pairs or (QUICK_PAIRS if quick else PAIRS)
    rows = [_row("--help / python -c pass", number, lambda: [*_AUTOINTERP, "--help"], _NOTHING)]
    if quick:
        return rows
    with tempfile.TemporaryDirectory() as folder:
        here = [*_AUTOINTERP, "-w", str(Path(folder) / "w")]
        seconds_of([*here, "init", *(word for setting in _SETTINGS for word in ("--set", setting))])
        seconds_of([*here, "label", "--layer", "mid", "--no-score"])
        new = count()
        asked = [*here, "search", "red circle"]
        rows += [
            _row("status / python -c import torch", number, lambda: [*here, "status"], _TORCH),
            _row("search, words / python -c import torch", number, lambda: [*asked, "--route", "words"], _TORCH),
            _row("search, asked before / python -c import torch", number, lambda: asked, _TORCH),
            _row(
                "search, a new question / python -c import torch",
                number,
                lambda: [*here, "search", f"red circle {next(new)}"],
                _TORCH,
            ),
        ]
    return rows


def _row(figure: str, pairs: int, ours: Callable[[], list[str]], other: list[str]) -> Row:
    seconds_of(ours())
    seconds_of(other)
    timed = interleave(pairs, lambda: seconds_of(ours()), lambda: seconds_of(other))
    return Row.of("startup", figure, "s", *([run["seconds"] for run in side] for side in timed))
