"""The rows that Neuronpedia imports: release, model, source set, source, features and explanations.

No activations are written, because Neuronpedia shows activations of text tokens.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autointerp.export.folder import whole_folder
from autointerp.export.rows import ExportRow

if TYPE_CHECKING:
    import torch

BATCH = 1024
"""Features in one file."""
CREATOR = "autointerp"
_NEAREST = 25
_RELEASE = "release.jsonl"


def write_neuronpedia(
    out_dir: Path,
    provenance: Mapping[str, Any],
    rows: Sequence[ExportRow],
    directions: torch.Tensor,
    histograms: Mapping[int, Sequence[tuple[float, int]]],
) -> Path:
    """Write `MODEL/N-SET/` into a folder, in the place of an earlier export; return the folder's path.

    Args:
        out_dir: The folder to make.
        provenance: Name, model, layer, hookpoint and so on.
        rows: The labels, one row a feature.
        directions: The direction of each latent, float32 [num_latents, d_in].
        histograms: Latent -> (activation, number of cells) of each level; empty for a latent that never fired.

    Raises:
        UsageError: The target is a file, or a folder that holds something else.
        AutointerpError: The folder cannot be written.
    """
    from autointerp.dictionaries.neighbours import nearest_directions

    place = NeuronpediaSource(provenance)
    ordered = sorted(rows, key=lambda row: row.index)
    near = [part.tolist() for part in nearest_directions(directions, _NEAREST)]
    out_dir = out_dir.absolute()
    with whole_folder(out_dir, _is_release, "an export of neuronpedia") as partial:
        folder = partial / place.model / place.source
        folder.mkdir(parents=True)
        for name, row in place.rows(directions.shape[1], len(directions)).items():
            _write_lines([row], folder / name)
        for number, start in enumerate(range(0, len(ordered), BATCH)):
            part = ordered[start : start + BATCH]
            features = (place.feature(row, directions, near, histograms.get(row.index, ())) for row in part)
            _write_lines(features, folder / "features" / f"batch-{number}.jsonl.gz")
            explanations = [place.explanation(row) for row in part if row.status == "ok"]
            if explanations:
                _write_lines(explanations, folder / "explanations" / f"batch-{number}.jsonl.gz")
    return out_dir


class NeuronpediaSource:
    """A dictionary as Neuronpedia knows it: its ids there, and its rows.

    Args:
        provenance: Name, model, layer, hookpoint, kind and signal of the dictionary.
    """

    def __init__(self, provenance: Mapping[str, Any]) -> None:
        self.known = provenance
        named = str(provenance["model"])
        self.model = _slug(named.rstrip("/").rpartition("/")[2]).lower()
        numbers = re.findall(r"\d+", str(provenance["hookpoint"]))
        # Layers have a number there. The last one of a path like down_blocks.2.attentions.1 tells neighbours apart.
        self.number = int(numbers[-1]) if numbers else 0
        self.set = _slug(f"{provenance['layer']}-{provenance['kind']}-{provenance['signal']}")
        self.source = f"{self.number}-{self.set}"
        self.release = _slug(str(provenance["name"]))

    def rows(self, d_in: int, num_latents: int) -> dict[str, dict[str, Any]]:
        """Return the files that hold one row each, with their rows."""
        known = self.known
        about = f"{known['kind']} dictionary of {known['hookpoint']} ({known['signal']}) of {known['model']}"
        by = {"creatorId": CREATOR, "creatorName": CREATOR, "visibility": "UNLISTED"}
        return {
            _RELEASE: {"name": self.release, "description": about, "descriptionShort": known["name"], "urls": [], **by},
            "model.jsonl": {
                "id": self.model,
                "displayName": known["model"],
                "displayNameShort": self.model,
                "creatorId": CREATOR,
                "owner": CREATOR,
                "layers": self.number + 1,
                "neuronsPerLayer": d_in,
                "dimension": d_in,
                "inferenceEnabled": False,
                "visibility": "UNLISTED",
            },
            "sourceset.jsonl": {
                "modelId": self.model,
                "name": self.set,
                "description": about,
                "type": f"{known['kind']}, {num_latents} latents",
                "urls": [],
                "releaseName": self.release,
                "hasDashboards": True,
                "allowInferenceSearch": False,
                **by,
            },
            "source.jsonl": {
                "id": self.source,
                "modelId": self.model,
                "setName": self.set,
                "creatorId": CREATOR,
                "hasDashboards": True,
                "inferenceEnabled": False,
                "visibility": "UNLISTED",
                "notes": json.dumps({key: known.get(key) for key in ("revision", "steps", "weights_sha256")}),
            },
        }

    def feature(
        self,
        row: ExportRow,
        directions: torch.Tensor,
        near: Sequence[Sequence[Any]],
        histogram: Sequence[tuple[float, int]],
    ) -> dict[str, Any]:
        """Return the row of a feature.

        Args:
            row: The feature with its label.
            directions: The direction of each latent, float32 [num_latents, d_in].
            near: The nearest latents of each latent, and their cosines: two lists [num_latents][n].
            histogram: (activation, number of cells) of each level.
        """
        index, cosine = near
        return {
            "modelId": self.model,
            "layer": self.source,
            "index": str(row.index),
            "sourceSetName": self.set,
            "creatorId": CREATOR,
            "maxActApprox": _finite(row.max_activation),
            "hasVector": True,
            "vector": [float(f"{value:.6g}") for value in directions[row.index].tolist()],
            "vectorLabel": row.name or None,
            "hookName": self.known["hookpoint"],
            "topkCosSimIndices": index[row.index],
            "topkCosSimValues": [round(value, 4) for value in cosine[row.index]],
            "frac_nonzero": _finite(row.density),
            "freq_hist_data_bar_values": [activation for activation, _ in histogram],
            "freq_hist_data_bar_heights": [cells for _, cells in histogram],
        }

    def explanation(self, row: ExportRow) -> dict[str, Any]:
        """Return the row of a feature's label."""
        scores = {s.method: s.value for s in row.scores if s.value is not None}
        return {
            "id": _cuid(f"{self.model}/{self.source}/{row.index}/{row.labeler}/{row.name}"),
            "modelId": self.model,
            "layer": self.source,
            "index": str(row.index),
            "description": row.name,
            "authorId": CREATOR,
            "embedding": None,
            "typeName": CREATOR,
            "explanationModelName": row.labeler,
            "notes": json.dumps({"explanation": row.explanation, "scores": scores}, ensure_ascii=False),
            "triggeredByUserId": None,
        }


def _slug(text: str) -> str:
    """Return a text with only letters, digits, `_` and `-`, as ids of Neuronpedia have them."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", text).strip("-") or "unnamed"


def _cuid(text: str) -> str:
    """Return an id as Neuronpedia makes them, `c` and 24 characters; the same text always gives the same id."""
    number = int.from_bytes(hashlib.sha256(text.encode()).digest(), "big")
    signs = "0123456789abcdefghijklmnopqrstuvwxyz"
    found = ""
    while len(found) < 24:
        number, rest = divmod(number, 36)
        found += signs[rest]
    return "c" + found


def _finite(value: float) -> float:
    """Return a figure, or 0 in the place of one that JSON does not know."""
    return value if math.isfinite(value) else 0.0


def _write_lines(rows: Iterable[Mapping[str, Any]], path: Path) -> None:
    """Write rows as JSON lines, compressed if the file's name says so."""
    path.parent.mkdir(parents=True, exist_ok=True)
    data = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
    # No time is written into the file, so that the same rows give the same bytes.
    path.write_bytes(gzip.compress(data, mtime=0) if path.suffix == ".gz" else data)


def _is_release(folder: Path) -> bool:
    """Return whether a folder holds a release that autointerp wrote."""
    for path in folder.glob(f"*/*/{_RELEASE}"):
        return f'"creatorId": "{CREATOR}"' in path.read_text(encoding="utf-8", errors="replace")
    return False
