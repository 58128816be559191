"""Label files of another tool."""

from __future__ import annotations

import json
from pathlib import Path

LONG = "Fires on round red things. " + "It also fires on words about them. " * 20


def delphi(folder: Path) -> Path:
    """Write explanations as Delphi does: two that can be read, and two that cannot."""
    (folder / "explanations").mkdir(parents=True)
    for stem, text in {
        "layers.5_latent17": LONG,
        "layers.5_latent2": "Explanation could not be parsed.",
        "x": "y",
    }.items():
        (folder / "explanations" / f"{stem}.txt").write_text(json.dumps(text))
    (folder / "explanations" / "layers.5_latent3.txt").write_text("not json")
    return folder
