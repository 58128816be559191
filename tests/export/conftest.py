"""Folders of dictionaries, and a bundle."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from autointerp.export.bundle import write_bundle

from .examples import PROVENANCE, contents


@pytest.fixture
def dictionary_dir(tmp_path: Path) -> Path:
    """A random dictionary as the package writes it."""
    from autointerp.dictionaries.baselines import RandomDirections
    from autointerp.dictionaries.storage import save_dictionary

    torch.manual_seed(0)
    directions = torch.nn.functional.normalize(torch.randn(6, 4), dim=1)
    dictionary = RandomDirections(directions.T.contiguous(), torch.zeros(6), directions, torch.zeros(4), k=2)
    folder = tmp_path / "dictionary"
    save_dictionary(dictionary, folder, PROVENANCE)
    return folder


@pytest.fixture
def plain_dir(tmp_path: Path) -> Path:
    """The two files of a dictionary, whatever is in them."""
    folder = tmp_path / "plain"
    folder.mkdir()
    (folder / "cfg.json").write_text(json.dumps({"kind": "topk", "d_in": 4}))
    save_file({"W_dec": torch.eye(4)}, str(folder / "weights.safetensors"))
    return folder


@pytest.fixture
def bundle(tmp_path: Path, plain_dir: Path) -> Path:
    return write_bundle(tmp_path / "out", contents(plain_dir, full=True))
