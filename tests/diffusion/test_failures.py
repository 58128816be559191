"""Errors of libraries that load a model: a missing library never looks like damaged files."""

from __future__ import annotations

import json
import shutil
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import pytest

from autointerp.diffusion.describe import describe_model
from autointerp.diffusion.failures import explained, missing_library
from tests.diffusion.helpers import Folders, copied, loaded


def wrapping(message: str, cause: BaseException) -> BaseException:
    error = RuntimeError(message)
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "package"),
    [
        (ModuleNotFoundError("No module named 'torchsde'", name="torchsde"), "torchsde"),
        (ModuleNotFoundError("No module named 'google.protobuf'", name="google.protobuf"), "protobuf"),
        (PackageNotFoundError("bitsandbytes"), "bitsandbytes"),
        (wrapping("Failed to import diffusers.x", ModuleNotFoundError("No module named 'ftfy'", name="ftfy")), "ftfy"),
        (
            ImportError(
                "\nLMSDiscreteScheduler requires the scipy library but it was not found in your environment. You can "
                "install it with pip: `pip install scipy`."
            ),
            "scipy",
        ),
        (
            ImportError("\nT5Tokenizer requires the SentencePiece library but it was not found in your environment."),
            "sentencepiece",
        ),
        (
            ImportError(
                "Using `bitsandbytes` 4-bit quantization requires bitsandbytes: `pip install -U bitsandbytes>=0.46`"
            ),
            "bitsandbytes",
        ),
        (
            ValueError("`tiktoken` is required to read a `tiktoken` file. Install it with `pip install tiktoken`."),
            "tiktoken",
        ),
        (ImportError("Loading a GGUF file requires gguf: `pip install gguf>=0.10`"), "gguf"),
    ],
)
def test_a_missing_library_is_named_with_its_pip_line(error: Exception, package: str, model_folder: Path) -> None:
    found = missing_library("m", error)
    assert found is not None
    assert str(found) == f"the model 'm' needs the library {package}: pip install {package}"
    assert f"pip install {package}" in str(explained(error, describe_model(str(model_folder))))


def test_libraries_that_are_too_old_and_tokenizers_that_nothing_reads() -> None:
    too_old = missing_library("m", ImportError("cannot import name 'Gemma9Model' from 'transformers' (/x.py)"))
    assert too_old is not None
    assert "Gemma9Model" in too_old.message
    assert "damaged" not in str(too_old)
    assert "complete" not in too_old.hint
    unread = missing_library("m", ValueError("Converting from SentencePiece and Tiktoken failed, if a converter ..."))
    assert unread is not None
    assert unread.hint == "pip install sentencepiece tiktoken"


def test_the_first_cause_names_the_library() -> None:
    last = ValueError("`tiktoken` is required to read a `tiktoken` file. Install it with `pip install tiktoken`.")
    last.__context__ = ImportError("SentencePieceExtractor requires the protobuf library but it was not found.")
    found = missing_library("m", last)
    assert found is not None
    assert found.hint == "pip install protobuf"


def test_a_tokenizer_of_sentencepiece_alone_is_read(tiny_folder: Folders, tmp_path: Path) -> None:
    import sentencepiece

    folder = copied(tiny_folder("pixart"), tmp_path)
    texts = tmp_path / "texts.txt"
    texts.write_text("\n".join(["a large red circle", "small blue star on white", "green square left"] * 20))
    special: dict[str, Any] = {"pad_id": 0, "eos_id": 1, "unk_id": 2, "bos_id": -1, "hard_vocab_limit": False}
    sentencepiece.SentencePieceTrainer.train(
        input=str(texts), model_prefix=str(tmp_path / "spiece"), vocab_size=60, **special
    )
    shutil.rmtree(folder / "tokenizer")
    (folder / "tokenizer").mkdir()
    shutil.copy(tmp_path / "spiece.model", folder / "tokenizer")
    settings = {"tokenizer_class": "T5Tokenizer", "extra_ids": 0, "model_max_length": 28}
    (folder / "tokenizer" / "tokenizer_config.json").write_text(json.dumps(settings))
    model = loaded(folder)
    words = "a large red circle"
    wanted = sentencepiece.SentencePieceProcessor(str(tmp_path / "spiece.model")).encode(words)
    assert model.pipeline.tokenizer(words).input_ids == [*wanted, 1]


def test_other_errors_are_of_the_files(model_folder: Path) -> None:
    assert missing_library("m", OSError("Error no file named x")) is None
    assert "fetch it again" in explained(OSError("Error no file named x"), describe_model(str(model_folder))).hint
