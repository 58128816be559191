"""Start-up: `autointerp --help` against an interpreter that does nothing."""

from __future__ import annotations

import subprocess
import sys
import time

from benchmarks.pairs import Row, interleave

PAIRS, QUICK_PAIRS = 15, 2


def seconds_of(arguments: list[str]) -> dict[str, float]:
    """Wall time of one process of this interpreter."""
    begun = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    return {"seconds": time.perf_counter() - begun}


def run(quick: bool, pairs: int | None = None) -> list[Row]:
    """Time both; the first start of each only fills the disk cache."""
    help_text, nothing = ["-m", "autointerp.cli", "--help"], ["-c", "pass"]
    seconds_of(help_text)
    seconds_of(nothing)
    count = pairs or (QUICK_PAIRS if quick else PAIRS)
    ours, other = interleave(count, lambda: seconds_of(help_text), lambda: seconds_of(nothing))
    return [Row.of("startup", "--help / python -c pass", "s", *([run["seconds"] for run in x] for x in (ours, other)))]
