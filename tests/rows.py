"""Rows of the database that tests of several rooms write by hand."""

from __future__ import annotations

from typing import Any

from autointerp.db import models


def dictionary(name: str = "shapes-turbo.mid.topk", layer: str = "mid", **values: Any) -> models.DictionaryRow:
    """A dictionary of four latents over a grid of 4 x 4 cells."""
    return models.DictionaryRow(
        **{
            "name": name,
            "identity": f"identity of {name}",
            "kind": "topk",
            "model": "shapes-turbo",
            "layer": layer,
            "hookpoint": f"transformer.{layer}",
            "signal": "output",
            "grid_rows": 4,
            "grid_cols": 4,
            "d_in": 8,
            "num_latents": 4,
            "k": 2,
            "weights_sha256": "0" * 64,
            **values,
        }
    )
