"""The rules of docs/architecture.md: who may import whom, and that the command line starts fast."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = ("shapes", "diffusion", "dictionaries", "crops", "labeling", "search", "export")
LINKS = ("db", "migrations", "prompts", "cli.py")
HEAVY = {"torch", "faiss", "diffusers", "transformers", "openai", "sqlalchemy", "alembic"}


def modules_of(folder):
    return sorted(p for p in folder.rglob("*.py") if "__pycache__" not in p.parts)


def imports_of(path):
    """Absolute names of all modules a file imports, anywhere in it; relative ones are made absolute."""
    package = "autointerp." + ".".join(path.relative_to(ROOT / "autointerp").parent.parts)
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.rstrip(".").split(".")[: len(package.rstrip(".").split(".")) - node.level + 1]
                base = ".".join([*above, *([base] if base else [])])
            found |= {base} | {f"{base}.{alias.name}" for alias in node.names}
    return found


def within(name, package):
    return name == package or name.startswith(package + ".")


@pytest.mark.parametrize("room", ROOMS)
def test_rooms_never_import_the_database_or_what_stands_above_them(room):
    files = modules_of(ROOT / "autointerp" / room)
    assert files
    for path in files:
        for name in imports_of(path):
            for above in ("db", "migrations", "stages", "cli", "workspace"):
                assert not within(name, f"autointerp.{above}"), f"{path.relative_to(ROOT)} imports {name}"
            assert not within(name, "sqlalchemy"), f"{path.relative_to(ROOT)} imports {name}"


def test_db_imports_nothing_else_of_ours():
    files = modules_of(ROOT / "autointerp" / "db")
    assert len(files) > 4
    for path in files:
        for name in imports_of(path):
            if within(name, "autointerp") and name != "autointerp":
                assert within(name, "autointerp.db"), f"{path.relative_to(ROOT)} imports {name}"


def test_labeling_needs_no_torch_at_import():
    for path in modules_of(ROOT / "autointerp" / "labeling"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        at_top = {
            alias.name.split(".")[0] for node in tree.body if isinstance(node, ast.Import) for alias in node.names
        } | {(node.module or "").split(".")[0] for node in tree.body if isinstance(node, ast.ImportFrom)}
        assert not at_top & HEAVY, f"{path.relative_to(ROOT)} imports {at_top & HEAVY} when loaded"


@pytest.mark.parametrize("name", LINKS)
def test_links_are_committed_links(name):
    link = ROOT / "autointerp" / name
    assert link.is_symlink() and os.readlink(link) == f"../{name}"
    assert link.resolve() == (ROOT / name).resolve()


@pytest.mark.parametrize(
    "module", ["autointerp", "autointerp.cli", "autointerp.workspace", "autointerp.db", "autointerp.hub"]
)
def test_import_is_light(module):
    code = f"import {module}, sys; print(' '.join({{name.split('.')[0] for name in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    loaded = set(done.stdout.split())
    assert module.split(".")[0] in loaded
    assert not loaded & HEAVY


def test_no_file_imports_the_rooms_by_their_bare_names():
    for folder in ("autointerp", "tests", "benchmarks"):
        for path in modules_of(ROOT / folder):
            tree = ast.parse(path.read_text(encoding="utf-8"))
            for node in ast.walk(tree):
                names = []
                if isinstance(node, ast.Import):
                    names = [alias.name for alias in node.names]
                elif isinstance(node, ast.ImportFrom) and not node.level:
                    names = [node.module or ""]
                bare = {name.split(".")[0] for name in names} & {"db", "migrations", "prompts", "cli"}
                assert not bare, f"{path.relative_to(ROOT)} imports {bare}"
