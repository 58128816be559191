"""A dictionary that carries its labels: what one loads from a bundle to use it in one's own code."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autointerp.errors import AutointerpError, UsageError
from autointerp.export.bundle import read_bundle
from autointerp.export.rows import ExportRow

if TYPE_CHECKING:
    import torch

    from autointerp.dictionaries.protocol import Dictionary, SparseCode


def _words(text: str) -> set[str]:
    return set(re.findall(r"[^\W_]+", text.lower()))


class LabeledDictionary:
    """A `Dictionary` with a label for each feature.

    `provenance` says which model, layer and signal it belongs to.
    """

    def __init__(self, dictionary: Dictionary, rows: tuple[ExportRow, ...], provenance: dict[str, Any]) -> None:
        self.dictionary, self.provenance = dictionary, provenance
        self._rows = {row.index: row for row in rows}

    @classmethod
    def load(cls, path: str | Path, local_files_only: bool = False) -> LabeledDictionary:
        """Load a bundle: a folder, or `hf:OWNER/NAME[/FOLDER]` of the Hugging Face hub.

        Args:
            path: where it is.
            local_files_only: never ask the hub, only its cache.

        Raises:
            AutointerpError: it is no whole bundle, or cannot be fetched.
        """
        from autointerp.dictionaries.storage import load_dictionary
        from autointerp.export.fetch import fetched

        if re.fullmatch(r"[\w.-]+/[\w.-]+", str(path)) and not Path(path).exists():
            raise AutointerpError(f"there is no folder {path}", f"the hub's is hf:{path}")
        bundle = read_bundle(fetched(str(path), local_files_only))
        return cls(load_dictionary(bundle.path), bundle.rows, bundle.provenance)

    @property
    def d_in(self) -> int:
        """Width of the layer's activations."""
        return self.dictionary.d_in

    @property
    def num_latents(self) -> int:
        """How many features there are."""
        return self.dictionary.num_latents

    def label(self, index: int) -> ExportRow:
        """A feature's row; one without a label has status `unlabeled`.

        Raises:
            UsageError: there is no such feature.
        """
        if not 0 <= index < self.num_latents:
            raise UsageError(f"no feature {index}", f"features go from 0 to {self.num_latents - 1}")
        return self._rows.get(index) or ExportRow(index=index)

    def find(self, text: str, n: int | None = None) -> list[ExportRow]:
        """Named features whose name or explanation holds every word of `text`.

        Those with all words in the name come first, then by confidence.

        Raises:
            UsageError: the text has no word, or `n` is less than 1.
        """
        words = _words(text)
        if n is not None and n < 1:
            raise UsageError(f"n is {n}", "ask for at least one feature")
        if not words:
            raise UsageError("the search text is empty", 'say what to look for, e.g. find("red circle")')
        found = []
        for row in self._rows.values():
            name = _words(row.name)
            if row.status == "ok" and words <= name | _words(row.explanation):
                found.append((not words <= name, -(row.confidence or 0.0), row.index, row))
        return [row for *_, row in sorted(found, key=lambda item: item[:3])][:n]

    def encode(self, acts: torch.Tensor) -> SparseCode:
        """Encode raw activations `acts`: [n, d_in].

        Raises:
            UsageError: They have another shape.
        """
        width = self.dictionary.d_in
        if getattr(acts, "ndim", 0) != 2 or acts.shape[1] != width:
            raise UsageError(f"activations {list(getattr(acts, 'shape', ()))} do not fit", f"give [n, {width}]")
        return self.dictionary.encode(acts)

    def decode(self, code: SparseCode) -> torch.Tensor:
        """Rebuild raw activations, float32 [n, d_in]."""
        return self.dictionary.decode(code)
