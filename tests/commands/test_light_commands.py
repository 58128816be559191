"""Commands that answer at once import what they use, and nothing else: seconds are told by what is imported."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

CODE = """
import sys
from runpy import run_module
sys.argv[0] = "autointerp"
try:
    run_module("autointerp", run_name="__main__")
except SystemExit as ended:
    assert not ended.code, ended.code
print()
print(*{name.split(".")[0] for name in sys.modules})
"""
MODELS = {"torch", "transformers", "diffusers", "accelerate", "faiss", "openai", "alembic", "ray", "huggingface_hub"}
"""What no command needs that only reads the database."""
NUMBERS = MODELS | {"numpy", "scipy", "pandas", "pyarrow"}
DATABASE = {"sqlalchemy"}

LIGHT = {
    "help": (["--help"], NUMBERS | DATABASE | {"pydantic", "PIL"}),
    "layers": (["layers"], NUMBERS | DATABASE),
    "status": (["status"], NUMBERS),
    "labels list": (["labels", "list"], NUMBERS),
    "search by words": (["search", "red circle", "--route", "words"], NUMBERS),
    "show": (["show", "shapes-turbo.mid.topk:0"], NUMBERS),
    "export": (["export", "--layer", "mid", "--format", "jsonl", "-o", "OUT"], NUMBERS),
}


@pytest.mark.parametrize("name", LIGHT)
def test_a_light_command_imports_no_more_than_it_uses(labeled: Path, tmp_path: Path, name: str) -> None:
    command, unwanted = LIGHT[name]
    arguments = [str(tmp_path / "out") if word == "OUT" else word for word in command]
    done = subprocess.run(
        [sys.executable, "-c", CODE, "-w", str(labeled), *arguments], capture_output=True, text=True, check=True
    )
    out, _, names = done.stdout.rstrip("\n").rpartition("\n")
    imported = set(names.split())
    assert out.strip() or (tmp_path / "out").exists()
    assert "click" in imported
    assert not imported & unwanted
