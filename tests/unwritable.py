"""Folders that a process may not write to, also where the tests run as root."""

from __future__ import annotations

import contextlib
import ctypes
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_DROP, _OVERRIDE, _SEARCH = 24, 1, 2
"""Linux: PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH."""


def _as_others() -> None:
    """Give up root's right to write everywhere, in a new process before its program starts."""
    if os.geteuid() == 0:
        for right in (_OVERRIDE, _SEARCH):
            if ctypes.CDLL(None).prctl(_DROP, right, 0, 0, 0):
                raise OSError("root keeps its rights")


def run_as_others(*command: object, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a Python command, e.g. `-c CODE`, for which rights to files count."""
    return subprocess.run(
        [sys.executable, *map(str, command)],
        capture_output=True,
        text=True,
        timeout=170,
        preexec_fn=_as_others,
        check=False,
        **options,
    )


@contextlib.contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Take the right to write from a folder and everything in it."""
    every = [folder, *folder.rglob("*")]
    modes = {path: path.stat().st_mode for path in every}
    for path in every:
        path.chmod(modes[path] & ~0o222)
    try:
        yield
    finally:
        for path in every:
            if path.exists():
                path.chmod(modes[path])
