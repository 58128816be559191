"""Start-up: whole processes of the command line against an interpreter that does nothing, or that imports torch.

The searches are of a small workspace that is made first: one dictionary of 64 latents, and labels by `clip`. A new
question is embedded by the model, and one that was asked before is not. Commands that only read the database are held
against 0.8 s of a processor, which is what they may take on a quiet core.
"""

from __future__ import annotations

import resource
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


LIGHT = 0.8
"""Seconds of a processor that a command may take which only reads the database."""


def seconds_of(arguments: list[str]) -> dict[str, float]:
    """Wall time and processor time of one process of this interpreter."""
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    took, after = time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
    return {"seconds": took, "processor": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime}


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
            *(_light(name, number, [*here, *command]) for name, command in _light_commands(folder).items()),
            _row("status / python -c import torch", number, lambda: [*here, "status"], _TORCH),
            _row("search, words / python -c import torch", number, lambda: [*asked, "--route", "words"], _TORCH),
            _row(
                "label, up to date / python -c import torch",
                number,
                lambda: [*here, "label", "--layer", "mid", "--no-score"],
                _TORCH,
            ),
            _row("search, asked before / python -c import torch", number, lambda: asked, _TORCH),
            _row(
                "search, a new question / python -c import torch",
                number,
                lambda: [*here, "search", f"red circle {next(new)}"],
                _TORCH,
            ),
        ]
    return rows


def _light_commands(folder: str) -> dict[str, list[str]]:
    """Commands that only read, by name."""
    return {
        "--help": ["--help"],
        "status": ["status"],
        "show": ["show", "shapes-turbo.mid.topk:0"],
        "labels list": ["labels", "list"],
        "search, words": ["search", "red circle", "--route", "words"],
        "export --format jsonl": ["export", "--layer", "mid", "--format", "jsonl", "-o", f"{folder}/labels.jsonl"],
    }


def _light(name: str, number: int, arguments: list[str]) -> Row:
    """Take the least of some runs: processor time grows with what other programs do to the caches."""
    seconds_of(arguments)
    least = min(seconds_of(arguments)["processor"] for _ in range(number))
    return Row.of("startup", f"{name}: processor time, least of {number} / {LIGHT} s", "s", [least], [LIGHT])


def _row(figure: str, pairs: int, ours: Callable[[], list[str]], other: list[str]) -> Row:
    seconds_of(ours())
    seconds_of(other)
    timed = interleave(pairs, lambda: seconds_of(ours()), lambda: seconds_of(other))
    return Row.of("startup", figure, "s", *([run["seconds"] for run in side] for side in timed))
