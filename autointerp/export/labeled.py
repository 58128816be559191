"""A dictionary with its labels, loaded from a bundle for use in other code."""

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
    """Return the words of a text, in lower case."""
    return set(re.findall(r"[^\W_]+", text.lower()))


class LabeledDictionary:
    """A `Dictionary` with a label for each feature.

    All that a `Dictionary` has is there, so that a labeled one can take the place of any other.

    Args:
        dictionary: The dictionary itself.
        rows: The labels, one row a feature; features without a row have no label.
        provenance: The model, layer and signal that the dictionary belongs to, and all that made it.
    """

    def __init__(self, dictionary: Dictionary, rows: tuple[ExportRow, ...], provenance: dict[str, Any]) -> None:
        self.dictionary, self.provenance = dictionary, provenance
        self._rows = {row.index: row for row in rows}

    @classmethod
    def load(cls, path: str | Path, local_files_only: bool = False) -> LabeledDictionary:
        """Load a bundle.

        Args:
            path: A folder, or `hf:OWNER/NAME[/FOLDER]` of the Hugging Face hub.
            local_files_only: Look only into the hub's cache, and do not ask the hub.

        Raises:
            AutointerpError: The bundle is incomplete or damaged, or cannot be fetched.
        """
        from autointerp.dictionaries.storage import load_dictionary
        from autointerp.export.fetch import fetched

        if re.fullmatch(r"[\w.-]+/[\w.-]+", str(path)) and not Path(path).exists():
            raise AutointerpError(f"there is no folder {path}", f"the hub's is hf:{path}")
        bundle = read_bundle(fetched(str(path), local_files_only))
        return cls(load_dictionary(bundle.path), bundle.rows, bundle.provenance)

    @property
    def kind(self) -> str:
        """The kind of the dictionary."""
        return self.dictionary.kind

    @property
    def d_in(self) -> int:
        """The width of the layer's activations."""
        return self.dictionary.d_in

    @property
    def num_latents(self) -> int:
        """How many latents there are, hence features."""
        return self.dictionary.num_latents

    @property
    def k(self) -> int | None:
        """How many latents fire in a token, about; None where that is not known."""
        return self.dictionary.k

    @property
    def directions(self) -> torch.Tensor:
        """Each latent's direction in raw activation space, float32 [num_latents, d_in]."""
        return self.dictionary.directions

    def label(self, index: int) -> ExportRow:
        """Return a feature's row; a feature without a label has the status `unlabeled`.

        Raises:
            UsageError: There is no such feature.
        """
        if not 0 <= index < self.num_latents:
            raise UsageError(f"no feature {index}", f"features go from 0 to {self.num_latents - 1}")
        return self._rows.get(index) or ExportRow(index=index)

    def find(self, text: str, n: int | None = None) -> list[ExportRow]:
        """Return the named features whose name or explanation holds every word of a text.

        Features with all words in the name come first. Within both groups the labels with more confidence come first.

        Args:
            text: The words to look for, in any order and case.
            n: The most features to return.

        Raises:
            UsageError: The text has no word, or `n` is less than 1.
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

    def encode(self, acts: torch.Tensor, step: int | torch.Tensor | None = None) -> SparseCode:
        """Encode raw activations.

        Args:
            acts: Activations [n, d_in] of any float dtype, on the dictionary's device.
            step: Their 0-based denoising step, one for all or int64 [n]; needed where the dictionary depends on it.

        Raises:
            UsageError: The activations have another shape.
        """
        width = self.dictionary.d_in
        if getattr(acts, "ndim", 0) != 2 or acts.shape[1] != width:
            raise UsageError(f"activations {list(getattr(acts, 'shape', ()))} do not fit", f"give [n, {width}]")
        return self.dictionary.encode(acts, step)

    def decode(self, code: SparseCode) -> torch.Tensor:
        """Rebuild raw activations, float32 [n, d_in]."""
        return self.dictionary.decode(code)

    def to(self, device: str) -> LabeledDictionary:
        """Move the weights to a device; return the dictionary itself."""
        self.dictionary = self.dictionary.to(device)
        return self

    def state(self) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
        """Return what `cfg.json` and `weights.safetensors` hold; labels are no part of it."""
        return self.dictionary.state()
