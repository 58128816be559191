"""Pipelines of the real classes with random weights, saved and loaded as any model is."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from autointerp.diffusion.loading import load_model
from autointerp.diffusion.model import Model
from tests.diffusion import original, tiny, tiny_recent
from tests.diffusion.helpers import Folders, Models
from tests.diffusion.tiny_parts import small_autoencoder, without_torchvision


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A FLUX with another autoencoder, saved in half precision."""

    def build() -> Any:
        return tiny.flux(head=32, axes=(4, 14, 14), vae=small_autoencoder())

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
            length = tiny_recent.LENGTHS.get(name, 28)
            folder = tmp_path_factory.mktemp("tiny") / name
            made[name] = tiny.save(tiny_recent.ALL[name], folder, max_sequence_length=length)
        return made[name]

    return folder


@pytest.fixture(scope="session")
def tiny_model(tiny_folder: Callable[[str], Path]) -> Callable[[str], Model]:
    """A tiny pipeline by its family's name, loaded once; tests leave it as they found it."""
    loaded: dict[str, Model] = {}

    def model(name: str) -> Model:
        if name not in loaded:
            with without_torchvision():
                loaded[name] = load_model(str(tiny_folder(name)), device="cpu", dtype="float32")
        return loaded[name]

    return model


@pytest.fixture(scope="session")
def single(tiny_folder: Folders, tiny_model: Models, tmp_path_factory: pytest.TempPathFactory) -> Folders:
    """A checkpoint in the original layout by its family's name, and beside it `config`, a pipeline without weights."""
    made: dict[str, Path] = {}

    def file(name: str) -> Path:
        if name not in made:
            folder = tmp_path_factory.mktemp(name)
            made[name] = folder / f"{name}.safetensors"
            save_file(original.checkpoint(tiny_model(name).pipeline), made[name])
            shutil.copytree(tiny_folder(name), folder / "config", ignore=shutil.ignore_patterns("*.safetensors"))
        return made[name]

    return file


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three soft pictures, one of them wide."""
    path = tmp_path_factory.mktemp("photos")
    draw = np.random.default_rng(0)
    for name, size in {"a": (64, 64), "b": (64, 64), "c": (96, 64)}.items():
        soft = Image.fromarray(draw.integers(0, 255, (6, 6, 3), np.uint8)).resize(size, Image.Resampling.BICUBIC)
        soft.save(path / f"{name}.png")
    return path
