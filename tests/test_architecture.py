"""The rules of docs/architecture.md: layers, no circles, one name a class, a test beside each module, light imports."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import grimp
import networkx
import pytest
import tomllib

ROOT = Path(__file__).parents[1]
LINKS = ("db", "migrations", "prompts", "cli.py")
HEAVY = {"torch", "faiss", "diffusers", "transformers", "openai", "sqlalchemy", "alembic"}


def sources() -> Iterator[tuple[str, Path]]:
    """Every module of the package and of the trainers, by its dotted name; the links' targets count once."""
    folders = {"autointerp": ROOT / "autointerp", "training": ROOT / "training"}
    for package, folder in folders.items():
        for path in sorted(folder.rglob("*.py")):
            inside = path.relative_to(folder)
            if "__pycache__" not in path.parts and inside.parts[0] not in LINKS:
                yield ".".join([package, *inside.with_suffix("").parts]), path
    for name in ("db", "migrations", "prompts"):
        for path in sorted((ROOT / name).rglob("*.py")):
            yield ".".join(["autointerp", *path.relative_to(ROOT).with_suffix("").parts]), path
    yield "autointerp.cli", ROOT / "cli.py"


def test_layers_and_what_may_not_be_imported() -> None:
    """The contracts of pyproject.toml, imports inside functions and for types included."""
    done = subprocess.run(
        [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"], capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 0, done.stdout[-3000:]


def test_no_circles() -> None:
    """Imports inside functions and for types count too."""
    graph = grimp.build_graph("autointerp", cache_dir=None)
    imports = networkx.DiGraph()
    for module in graph.modules:
        imports.add_edges_from((module, other) for other in graph.find_modules_directly_imported_by(module))
    assert len(imports) > 150
    circles = [sorted(part) for part in networkx.strongly_connected_components(imports) if len(part) > 1]
    assert circles == []


def test_no_two_classes_share_a_name() -> None:
    where = defaultdict(list)
    for module, path in sources():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                where[node.name].append(module)
    assert {name: modules for name, modules in where.items() if len(modules) > 1} == {}


def test_every_module_has_its_test_or_a_reason() -> None:
    """The test of `autointerp/a/b.py` is `tests/a/test_b.py`; of the trainers, `tests/training/...`."""
    reasons = tomllib.loads((ROOT / "tests" / "untested.toml").read_text(encoding="utf-8"))
    missing, needless = [], set(reasons)
    for module, path in sources():
        parts = module.split(".")
        parts = parts if parts[0] == "training" else parts[1:]
        if path.name in ("__init__.py", "__main__.py") or parts[0] == "migrations":
            continue
        there = (ROOT / "tests" / Path(*parts[:-1]) / f"test_{parts[-1]}.py").is_file()
        if not there and module not in reasons:
            missing.append(module)
        if not there:
            needless.discard(module)
    assert missing == []
    assert needless == set(), "these have tests, or are gone"
    assert all(len(reason) > 10 for reason in reasons.values())


@pytest.mark.parametrize("name", LINKS)
def test_links_are_committed_links(name: str) -> None:
    link = ROOT / "autointerp" / name
    assert link.is_symlink()
    assert os.readlink(link) == f"../{name}"
    assert link.resolve() == (ROOT / name).resolve()


@pytest.mark.parametrize(
    "module",
    [
        "autointerp",
        "autointerp.api",
        "autointerp.cli",
        "autointerp.commands.labeling",
        "autointerp.commands.looking",
        "autointerp.commands.making",
        "autointerp.db",
        "autointerp.dictionaries.kinds",
        "autointerp.labeling.judging",
        "autointerp.labeling.labelers",
        "autointerp.labeling.labelers.vlm",
        "autointerp.project.workspace",
    ],
)
def test_import_is_light(module: str) -> None:
    code = f"import {module}, sys; print(' '.join({{name.split('.')[0] for name in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    loaded = set(done.stdout.split())
    assert module.split(".")[0] in loaded
    assert not loaded & HEAVY


def test_users_folders_are_found_in_one_place() -> None:
    """`Path.expanduser` raises what no reader expects where there is no such user; `files.expanded` does not."""
    calls = {
        name
        for name, path in sources()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and node.attr == "expanduser"
    }
    assert {name for name in calls if not name.startswith("training.")} == {"autointerp.files"}
