"""Which images a labeler may see and which its label is scored on: decided by the prompt alone."""

from __future__ import annotations

import hashlib
from typing import Literal

Split = Literal["explain", "score"]
SPLITS: tuple[Split, Split] = ("explain", "score")
SCORE_SHARE = 0.4


def split_of(prompt: str) -> Split:
    """The split of every image of a prompt, the same for all features, runs and machines.

    Images of one prompt look alike; a label that has seen one of them has nearly seen the others. So no prompt is
    ever on both sides.
    """
    value = int.from_bytes(hashlib.sha256(prompt.encode("utf-8", "surrogatepass")).digest()[:8], "big")
    return "score" if value < SCORE_SHARE * 2**64 else "explain"
