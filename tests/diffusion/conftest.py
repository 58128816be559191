"""Pipelines of the real classes with random weights, saved and loaded as any model is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from autointerp.diffusion.loading import Model, load_model

from . import tiny


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A FLUX with another autoencoder, saved in half precision."""

    def build() -> Any:
        return tiny.flux(head=32, axes=(4, 14, 14), vae=tiny.small_autoencoder())

    folder = tmp_path_factory.mktemp("models") / "tiny-flux"
    return tiny.save(build, folder, torch.float16, guidance=2.0, size=96)


@pytest.fixture(scope="session")
def model(model_folder: Path):
    return load_model(str(model_folder), device="cpu", dtype="float32")


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a tiny pipeline by its family's name, made once."""
    made: dict[str, Path] = {}

    def folder(name: str) -> Path:
        if name not in made:
            made[name] = tiny.save(tiny.FAMILIES[name], tmp_path_factory.mktemp("tiny") / name)
        return made[name]

    return folder


@pytest.fixture(scope="session")
def tiny_model(tiny_folder: Callable[[str], Path]) -> Callable[[str], Model]:
    """A tiny pipeline by its family's name, loaded once; tests leave it as they found it."""
    loaded: dict[str, Model] = {}

    def model(name: str) -> Model:
        if name not in loaded:
            loaded[name] = load_model(str(tiny_folder(name)), device="cpu", dtype="float32")
        return loaded[name]

    return model
