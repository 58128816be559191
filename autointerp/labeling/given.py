"""Labels that somebody else gave: a person's, from a file or the command line, and those of other tools' files.

Reading is strict: a line that cannot be meant is refused with the reason, and never half used.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from autointerp.errors import AutointerpError, UsageError, nearest
from autointerp.labeling.protocol import FeatureEvidence, LabelResult, LayerContext
from autointerp.texts import EXPLANATION, NAME, clean, to_json

COLUMNS = ("feature", "name", "explanation", "confidence", "labeler")
"""What a label file of ours says; only the first two are needed."""


@dataclass(frozen=True)
class GivenLabel:
    """One label as a file has it.

    `feature` is `DICTIONARY:INDEX` or the index alone, `labeler` who said it where the file says so, `layer` the layer
    that another tool's file names.
    """

    place: str
    feature: str
    name: str
    explanation: str = ""
    confidence: float | None = None
    labeler: str = ""
    layer: str = ""


@dataclass(frozen=True)
class Refused:
    """What was not taken: where it stands, and why."""

    place: str
    reason: str


Read = Iterator[GivenLabel | Refused]


class GivenLabeler:
    """Says what it was given: `human`, or another tool by its name.

    `labels` are by the feature's name, `DICTIONARY:INDEX`.
    """

    base_url, prompt_hash = "", ""

    def __init__(
        self,
        labels: Mapping[str, GivenLabel],
        kind: str = "human",
        model: str = "",
        config: dict[str, Any] | None = None,
    ) -> None:
        """Take the labels and whose they are: for a person, `model` is the name."""
        self.labels, self.kind, self.model, self.config = labels, kind, model, config or {}

    def prepare(self, context: LayerContext) -> None:
        """Nothing to learn of the layer."""

    def label(self, features: Sequence[FeatureEvidence]) -> Iterator[LabelResult]:
        """The given label of each feature; one without has failed."""
        for feature in features:
            given = self.labels.get(feature.feature)
            if given is None:
                yield LabelResult(feature.feature_id, "failed", error="nobody has named it")
                continue
            # A person who does not say how sure they are is; of a tool it is not known.
            sure = given.confidence if given.confidence is not None else float(self.kind == "human")
            yield LabelResult(feature.feature_id, "ok", given.name, given.explanation, sure)


def read_labels(path: Path, form: str = "auto") -> tuple[str, list[GivenLabel | Refused]]:
    """Read a label file, or the folder that some tools write; returns its format and what it holds.

    Raises:
        UsageError: There is no such format, or it cannot be told.
        AutointerpError: It cannot be read, or is not of that format at all.
    """
    if form != "auto" and form not in FORMATS:
        raise UsageError(f"there is no label format {form!r}", nearest(form, ("auto", *FORMATS)))
    try:
        form = _detect(path) if form == "auto" else form
        return form, list(FORMATS[form](path))
    except OSError as error:
        raise AutointerpError(f"cannot read {path}: {error.strerror or error}", "check the path") from None
    except UnicodeDecodeError:
        raise AutointerpError(f"{path} is not UTF-8 text", "save it as UTF-8") from None
    except csv.Error as error:
        raise AutointerpError(f"{path} is no CSV: {error}", "correct it, or name its --format") from None


def write_labels(path: Path, labels: Sequence[GivenLabel], form: Literal["csv", "jsonl"]) -> None:
    """Write labels as CSV or JSON lines; `read_labels` gives the same back. Raises OSError where it cannot."""
    rows = [{name: getattr(label, name) for name in COLUMNS} for label in labels]
    with path.open("w", encoding="utf-8", newline="") as file:
        if form == "csv":
            writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
            writer.writeheader()
            writer.writerows({k: _shielded(v) if isinstance(v, str) else v for k, v in row.items()} for row in rows)
        else:
            file.writelines(to_json(row) + "\n" for row in rows)


def _shielded(text: str) -> str:
    """A text that no spreadsheet takes for a formula; `_unshielded` gives it back."""
    return f"'{text}" if re.match(r"'*[=+\-@]", text) else text


def _unshielded(text: str) -> str:
    return text[1:] if re.match(r"'+[=+\-@]", text) else text


def _detect(path: Path) -> str:
    """The format of a file or folder, by its name and its first words."""
    ending = path.suffix.lower()
    if path.is_dir():
        if (path / "explanations").is_dir() or any(path.glob("*.txt")):
            return "delphi"
        if any(found.stem.isdecimal() for found in path.glob("*.json")):
            return "flux-saes"
    elif ending in (".jsonl", ".ndjson"):
        return "jsonl"
    elif ending == ".csv":
        with path.open(encoding="utf-8-sig", newline="") as file:
            header = next(csv.reader(file), [])
        return "clip-dissect" if {"unit", "description"} <= set(header) else "csv"
    elif ending == ".txt":
        return "delphi"
    elif ending == ".json":
        return "multimodal-sae" if path.read_text(encoding="utf-8").lstrip().startswith("[") else "flux-saes"
    else:
        path.open("rb").close()
    raise UsageError(f"cannot tell the format of {path}", f"give --format {'|'.join(FORMATS)}")


def _jsonl(path: Path) -> Read:
    with path.open(encoding="utf-8-sig") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                values = json.loads(line)
            except (ValueError, RecursionError):
                values = None
            if isinstance(values, dict):
                yield checked(f"line {number}", values)
            else:
                yield Refused(f"line {number}", "it is no JSON object")


def _csv(path: Path) -> Read:
    for place, row in _rows(path, ("feature", "name")):
        yield row if isinstance(row, Refused) else checked(place, row)


def _rows(path: Path, needed: Sequence[str]) -> Iterator[tuple[str, dict[str, Any] | Refused]]:
    """The rows of a CSV file by column, an empty cell as None."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file, strict=True)
        missing = [name for name in needed if name not in (reader.fieldnames or ())]
        if missing:
            raise AutointerpError(
                f"{path} has no column {missing[0]!r}", f"its first line must name {', '.join(needed)}"
            )
        for row in reader:
            place = f"line {reader.line_num}"
            if None in row:
                yield place, Refused(place, "it has more cells than the first line has columns")
            else:
                yield place, {key: _unshielded(value) if value else None for key, value in row.items()}


def checked(place: str, values: Mapping[str, Any]) -> GivenLabel | Refused:
    """A label with the values of `COLUMNS`, or why it cannot be meant."""
    feature, confidence = values.get("feature"), values.get("confidence")
    if isinstance(feature, int) and not isinstance(feature, bool):
        feature = str(feature)
    said: dict[str, str] = {}
    for key, value in {
        **{key: values.get(key) for key in ("name", "explanation", "labeler")},
        "feature": feature,
    }.items():
        if value is not None and not isinstance(value, str):
            return Refused(place, f"its {key} is no text")
        # Only what is too long for anything is cut: a person's words are taken whole or refused.
        said[key] = clean(value or "", 10 * EXPLANATION)
    for key, most in (("name", NAME), ("explanation", EXPLANATION)):
        if len(said[key]) > most:
            return Refused(place, f"its {key} is longer than {most} characters")
    for key in ("feature", "name"):
        if not said[key]:
            return Refused(place, f"it has no {key}")
    try:
        sure = None if confidence is None or isinstance(confidence, bool) else float(confidence)
    except (TypeError, ValueError, OverflowError):
        sure = -1.0
    if isinstance(confidence, bool) or (sure is not None and not 0 <= sure <= 1):
        return Refused(place, f"its confidence is {clean(str(confidence), 40)}, not a number from 0 to 1")
    return GivenLabel(place, said["feature"], said["name"], said["explanation"], sure, said["labeler"])


_LATENT = re.compile(r"(?:(?P<layer>.*)_(?:latent|feature))?(?P<index>\d{1,9})")
"""How delphi and its descendants call a latent."""


def _others(place: str, latent: str, text: object) -> GivenLabel | Refused:
    """A label of another tool: the whole text explains, and its beginning is the name."""
    found = _LATENT.fullmatch(latent)
    if found is None:
        return Refused(place, f"{clean(latent, 80)!r} names no latent")
    if not isinstance(text, str) or not (said := clean(text, EXPLANATION)):
        return Refused(place, "it has no explanation")
    if said == "Explanation could not be parsed.":
        return Refused(place, "its explanation could not be parsed")
    name = said
    if len(said) > NAME:
        # The first sentence where it is short enough, else whole words.
        name = clean(re.split(r"(?<=[.;:]) ", said)[0], len(said))
        name = name if len(name) <= NAME else said[:NAME].rpartition(" ")[0] or said[:NAME]
    name = name.rstrip(".;:") or said[:NAME]
    return GivenLabel(place, found["index"], name, said, layer=found["layer"] or "")


def _delphi(path: Path) -> Read:
    """`explanations/LATENT.txt`, each one JSON string."""
    if path.is_dir():
        folder = path / "explanations" if (path / "explanations").is_dir() else path
        files = sorted(folder.glob("*.txt"))
    else:
        files = [path]
    for file in files:
        try:
            text = json.loads(file.read_text(encoding="utf-8"))
        except (ValueError, RecursionError):
            yield Refused(file.name, "it is no JSON")
            continue
        yield _others(file.name, file.stem, text)


def _flux_saes(path: Path) -> Read:
    """`interps/LATENT.json`, each with a `pattern` that has a `common_pattern`."""
    for file in sorted(path.glob("*.json")) if path.is_dir() else [path]:
        try:
            found = json.loads(file.read_text(encoding="utf-8"))
        except (ValueError, RecursionError):
            yield Refused(file.name, "it is no JSON")
            continue
        pattern = found.get("pattern") if isinstance(found, dict) else None
        text = pattern.get("common_pattern") if isinstance(pattern, dict) else pattern
        yield _others(file.name, file.stem, text)


def _multimodal_sae(path: Path) -> Read:
    """`LAYER.json`: a list of objects, each with one latent and its explanation."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        raise AutointerpError(f"{path} is no JSON", "a run that was killed leaves half a file: run it again") from None
    if not isinstance(found, list):
        raise AutointerpError(f"{path} holds no list", "multimodal-sae writes a list a layer")
    for number, one in enumerate(found, 1):
        place = f"entry {number}"
        if not isinstance(one, dict) or len(one) != 1:
            yield Refused(place, "it is no object with one key")
            continue
        ((latent, text),) = one.items()
        yield _others(place, latent, text)


def _clip_dissect(path: Path) -> Read:
    """`descriptions.csv` with the columns layer, unit, description, similarity."""
    for place, row in _rows(path, ("unit", "description")):
        if isinstance(row, Refused):
            yield row
            continue
        found = _others(place, row["unit"] or "", row["description"])
        layer = clean(row.get("layer") or "", NAME)
        yield found if isinstance(found, Refused) else GivenLabel(place, found.feature, found.name, layer=layer)


FORMATS: dict[str, Callable[[Path], Read]] = {
    "jsonl": _jsonl,
    "csv": _csv,
    "delphi": _delphi,
    "clip-dissect": _clip_dissect,
    "multimodal-sae": _multimodal_sae,
    "flux-saes": _flux_saes,
}
OTHERS = tuple(FORMATS)[2:]
"""Formats of other tools; their labels are of a labeler of that name."""
