"""Compile `pretend.cpp` on first use, and load it."""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from types import ModuleType

import torch
from torch.utils import cpp_extension

SOURCE = Path(__file__).with_name("pretend.cpp")
TORCH = "2.13"
"""The minor version of PyTorch that the source is for: devices of one's own have no stable interface in C++."""
LIBRARIES = ("c10", "torch_cpu", "torch", "torch_python")


def compiler() -> str | None:
    return shutil.which(os.environ.get("CXX", "g++"))


def why_not() -> str | None:
    """Why the device cannot be had on this machine; None where it can."""
    if ".".join(torch.__version__.split(".")[:2]) != TORCH:
        return f"the pretend device is written for PyTorch {TORCH}, and this is {torch.__version__}"
    if compiler() is None:
        return "the pretend device needs a C++ compiler (Debian: apt-get install g++)"
    if not Path(sysconfig.get_path("include"), "Python.h").is_file():
        return "the pretend device needs the headers of Python (Debian: apt-get install python3-dev)"
    return None


def library() -> Path:
    """Where the compiled device lies: a folder of its own for each PyTorch, Python and source."""
    made_of = SOURCE.read_bytes() + " ".join(command(Path("out"))).encode()
    name = f"pretend-{torch.__version__}-{hashlib.sha256(made_of).hexdigest()[:12]}"
    return Path(cpp_extension.get_default_build_root()) / name / f"pretend.{sys.implementation.cache_tag}.so"


def command(out: Path) -> list[str]:
    where = [*cpp_extension.include_paths(), sysconfig.get_path("include")]
    libraries = cpp_extension.library_paths()
    return [
        *(compiler() or "g++", "-std=c++20", "-O1", "-w", "-fPIC", "-shared", str(SOURCE), "-o", str(out)),
        *(f"-D_GLIBCXX_USE_CXX11_ABI={int(torch.compiled_with_cxx11_abi())}", "-DTORCH_EXTENSION_NAME=pretend"),
        *(part for folder in where for part in ("-isystem", folder)),
        *(part for folder in libraries for part in (f"-L{folder}", f"-Wl,-rpath,{folder}")),
        *(f"-l{name}" for name in LIBRARIES),
    ]


def build() -> Path:
    """Compile the device where that is not done yet. Of several processes one compiles, and the others wait."""
    made = library()
    if made.is_file():
        return made
    made.parent.mkdir(parents=True, exist_ok=True)
    with open(made.with_name("lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # The kernel's: it goes with a process that is killed.
        if not made.is_file():
            part = made.with_suffix(".part")
            subprocess.run(command(part), check=True)
            part.replace(made)
    return made


def load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("pretend", build())
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
