"""The split of images: those that a labeler may see, and those that its labels are scored on."""

from __future__ import annotations

import hashlib
from typing import Literal

Split = Literal["explain", "score"]
SPLITS: tuple[Split, Split] = ("explain", "score")
SCORE_SHARE = 0.4


def split_of(prompt: str) -> Split:
    """Return the split of every image of a prompt, the same for all features, runs and machines.

    Images of one prompt look alike, so a labeler that has seen one of them has nearly seen the others. So all images of
    a prompt are in one split.
    """
    value = int.from_bytes(hashlib.sha256(prompt.encode("utf-8", "surrogatepass")).digest()[:8], "big")
    return "score" if value < SCORE_SHARE * 2**64 else "explain"
