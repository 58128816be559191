"""Files that are not what their names say are told by their first bytes."""

from __future__ import annotations

import gzip
import io
import tarfile
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest

from autointerp.errors import AutointerpError
from autointerp.filetypes import PICTURE, check_no_pointer, foreign_type, pointer_type, text_type, text_type_of

LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"4d" * 32 + b"\nsize 50344\n"


def _npz() -> bytes:
    file = io.BytesIO()
    np.savez(file, W_enc=np.zeros((2, 3)))
    return file.getvalue()


def _npy() -> bytes:
    file = io.BytesIO()
    np.save(file, np.zeros(3))
    return file.getvalue()


def _zip() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as opened:
        opened.writestr("sae/cfg.json", "{}")
    return file.getvalue()


def _tar() -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as opened:
        opened.addfile(tarfile.TarInfo("sae.pt"))
    return file.getvalue()


FOREIGN = {
    "git LFS": (LFS, "a git LFS pointer", "git lfs pull"),
    "git LFS of its first days": (b"version https://hawser.github.com/spec/v1\noid", "a git LFS pointer", "git lfs"),
    "git-annex": (b"/annex/objects/SHA256E-s50344--4d.safetensors\n", "a git-annex pointer", "git annex get"),
    "Xet": (b"# xet version 0\nfilesize = 1\n", "a Xet pointer", "git xet"),
    "nothing": (b"", "an empty file", "again"),
    "zeros": (bytes(5000), "zeros", "again"),
    "npy": (_npy(), "a NumPy array", "save its tensors"),
    "npz": (_npz(), "a NumPy archive", "save its tensors"),
    "gguf": (b"GGUF\x03\x00\x00\x00", "a GGUF model", "save its tensors"),
    "zip": (_zip(), "a zip archive", "unpack"),
    "tar": (_tar(), "a tar archive", "unpack"),
    "gzip": (gzip.compress(b"x"), "a gzip archive", "unpack"),
    "HTML": (b"\n<!DOCTYPE html><html><body>Sign in</body></html>", "a web page", "logged in"),
    "XML": (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "an XML page", "again"),
    "JSON": (b'{"error": "Entry not found"}', "JSON alone", "again"),
}


@pytest.mark.parametrize("case", FOREIGN)
def test_what_a_file_is_and_what_to_do(tmp_path: Path, case: str) -> None:
    content, name, hint = FOREIGN[case]
    (tmp_path / "sae.safetensors").write_bytes(content)
    found = foreign_type(tmp_path / "sae.safetensors")
    assert found is not None
    assert found.name.startswith(name) or name in found.name
    assert hint in found.hint


def test_weights_are_not_foreign(tmp_path: Path) -> None:
    import torch
    from safetensors.torch import save_file

    save_file({"a": torch.ones(3)}, tmp_path / "a.safetensors")
    torch.save({"a": torch.ones(3)}, tmp_path / "a.pt")
    torch.save({"a": torch.ones(3)}, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    with (tmp_path / "headed.pt").open("wb") as file:
        file.write(b'{"schema": 1}\n')
        torch.save({"a": torch.ones(3)}, file)
    assert all(foreign_type(path) is None for path in tmp_path.iterdir())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.script(torch.nn.Linear(2, 2)).save(tmp_path / "a.pt")
    assert foreign_type(tmp_path / "a.pt").name == "a TorchScript program"
    (tmp_path / "a.pt").write_bytes((tmp_path / "old.pt").read_bytes()[:50])
    assert foreign_type(tmp_path / "a.pt") is None


@pytest.mark.parametrize("length", [0x088B1F, 0x2A4949, 0x685A42, 0x280])
def test_the_length_of_a_header_is_no_signature(tmp_path: Path, length: int) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(length.to_bytes(8, "little") + b'{"a": {}}' + b" " * 2000)
    assert foreign_type(path) is None


def test_what_is_no_text_is_told_by_the_same_table(tmp_path: Path) -> None:
    for begin in (LFS, b"\xef\xbb\xbf<!DOCTYPE html>", gzip.compress(b"x"), _tar(), _npy(), b"%PDF-1.7"):
        (tmp_path / "a").write_bytes(begin)
        weights, text = foreign_type(tmp_path / "a"), text_type_of(tmp_path / "a")
        assert weights is not None
        assert weights == text == text_type(begin)
    assert text_type(b"\xff\xd8\xff") == PICTURE
    # Weights may be a pickle; a text may begin with a word in angle brackets.
    (tmp_path / "a").write_bytes(b"\x80\x02}q")
    assert foreign_type(tmp_path / "a") is None
    assert text_type(b"\x80\x02}q").name == "a Python pickle"
    assert all(text_type(prompt) is None for prompt in (b"<cat> on a table", b"<head> of a man", b"BZ, a band", b""))
    assert text_type_of(tmp_path / "absent") is None


def test_a_name_tells_where_the_bytes_do_not(tmp_path: Path) -> None:
    (tmp_path / "sae.ONNX").write_bytes(b"\x08\x07\x12\x07pytorch")
    assert foreign_type(tmp_path / "sae.ONNX").name == "an ONNX model"
    assert foreign_type(tmp_path / "absent.onnx") is None


def test_a_pointer_is_refused_with_the_way_to_the_file(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(LFS)
    with pytest.raises(AutointerpError, match=r"a\.json is a git LFS pointer.*git lfs pull"):
        check_no_pointer(tmp_path / "a.json")
    (tmp_path / "a.json").write_text('{"version": "https://git-lfs"}')
    check_no_pointer(tmp_path / "a.json")
    assert pointer_type(tmp_path / "absent") is None
