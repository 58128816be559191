"""Label files of other tools: delphi, CLIP-Dissect, multimodal-sae and flux-saes."""

from __future__ import annotations

import json
import re
from pathlib import Path

from autointerp.errors import AutointerpError
from autointerp.labeling.labelers.csv_rows import ReadLabels, csv_rows
from autointerp.labeling.labelers.given import GivenLabel, RefusedLabel
from autointerp.text_files import read_text
from autointerp.texts import EXPLANATION, NAME, clean

_LATENT = re.compile(r"(?:(?P<layer>.*)_(?:latent|feature))?(?P<index>\d{1,9})")
"""Name of a latent in files of delphi and its descendants."""


def _named_by(place: str, latent: str, text: object) -> GivenLabel | RefusedLabel:
    """Return a label of another tool: its text is the explanation, and the beginning of the text is the name."""
    found = _LATENT.fullmatch(latent)
    if found is None:
        return RefusedLabel(place, f"{clean(latent, 80)!r} names no latent")
    if not isinstance(text, str) or not (said := clean(text, EXPLANATION)):
        return RefusedLabel(place, "it has no explanation")
    if said == "Explanation could not be parsed.":
        return RefusedLabel(place, "its explanation could not be parsed")
    name = said
    if len(said) > NAME:
        # Take the first sentence where it is short enough, else whole words.
        name = clean(re.split(r"(?<=[.;:]) ", said)[0], len(said))
        name = name if len(name) <= NAME else said[:NAME].rpartition(" ")[0] or said[:NAME]
    name = name.rstrip(".;:") or said[:NAME]
    return GivenLabel(place, found["index"], name, said, layer=found["layer"] or "")


def read_delphi(path: Path) -> ReadLabels:
    """Read delphi: `explanations/LATENT.txt`, each with one JSON string."""
    if path.is_dir():
        folder = path / "explanations" if (path / "explanations").is_dir() else path
        files = sorted(folder.glob("*.txt"))
    else:
        files = [path]
    for file in files:
        try:
            text = json.loads(read_text(file))
        except (ValueError, RecursionError, AutointerpError):
            yield RefusedLabel(file.name, "it is no JSON")
            continue
        yield _named_by(file.name, file.stem, text)


def read_flux_saes(path: Path) -> ReadLabels:
    """Read flux-saes: `interps/LATENT.json`, each with a `pattern` that has a `common_pattern`."""
    for file in sorted(path.glob("*.json")) if path.is_dir() else [path]:
        try:
            found = json.loads(read_text(file))
        except (ValueError, RecursionError, AutointerpError):
            yield RefusedLabel(file.name, "it is no JSON")
            continue
        pattern = found.get("pattern") if isinstance(found, dict) else None
        text = pattern.get("common_pattern") if isinstance(pattern, dict) else pattern
        yield _named_by(file.name, file.stem, text)


def read_multimodal_sae(path: Path) -> ReadLabels:
    """Read multimodal-sae: `LAYER.json`, a list of objects, each with one latent and its explanation."""
    try:
        found = json.loads(read_text(path))
    except (ValueError, RecursionError):
        raise AutointerpError(f"{path} is no JSON", "a run that was killed leaves half a file: run it again") from None
    if not isinstance(found, list):
        raise AutointerpError(f"{path} holds no list", "multimodal-sae writes a list a layer")
    for number, one in enumerate(found, 1):
        place = f"entry {number}"
        if not isinstance(one, dict) or len(one) != 1:
            yield RefusedLabel(place, "it is no object with one key")
            continue
        ((latent, text),) = one.items()
        yield _named_by(place, latent, text)


def read_clip_dissect(path: Path) -> ReadLabels:
    """Read CLIP-Dissect: `descriptions.csv` with the columns layer, unit, description, similarity."""
    for place, row in csv_rows(path, ("unit", "description")):
        if isinstance(row, RefusedLabel):
            yield row
            continue
        found = _named_by(place, row["unit"] or "", row["description"])
        layer = clean(row.get("layer") or "", NAME)
        yield found if isinstance(found, RefusedLabel) else GivenLabel(place, found.feature, found.name, layer=layer)
