"""Kill -9 at random moments of a harvest: the rows are those of a run without a stop, whatever was hit.

`python -m benchmarks.kills 50` prints how many kills there were and how many harvests they were spread over, and fails
with the first difference. Processes are forked after the model is loaded, so that a kill costs seconds.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

IMAGES, BATCH, CHECKPOINT = 40, 8, 8
SETTINGS: dict[str, Any] = {
    "images": IMAGES,
    "fit_images": 8,
    "steps": 2,
    "capture_steps": [0, 1],
    "batch_size": BATCH,
    "device": "cpu",
    "dtype": "float32",
    "crops": {"top": 4, "quantile": 4, "negatives": 2, "hard_negatives": 2},
}
HARVEST = ("harvest", "--layer", "mid")


def ask(path: Path, query: str) -> list[Any]:
    """The rows of one query to a workspace's file."""
    with contextlib.closing(sqlite3.connect(path / "autointerp.db")) as db:
        return db.execute(query).fetchall()


def harvested_rows(path: Path, ask: Callable[[Path, str], list[Any]] = ask) -> dict[str, list[Any]]:
    """All that a harvest writes into a workspace, by what it is about: without ids and times."""
    crops = (
        "SELECT f.latent_index, i.generation_hash, c.step, c.timestep, c.row, c.col, c.box_left, c.box_top,"
        " c.box_right, c.box_bottom, c.activation, c.activation_map, c.rank, c.quantile, c.role, c.split,"
        " c.neighbour FROM crops c"
        " JOIN features f ON f.id = c.feature_id JOIN images i ON i.id = c.image_id ORDER BY 1, 2"
    )
    features = (
        "SELECT latent_index, density, max_activation, mean_activation, state, histogram, steps, neighbours"
        " FROM features ORDER BY 1"
    )
    queries = {
        "images": "SELECT generation_hash, image_index, prompt, seed, picture, width FROM images ORDER BY 1",
        "features": features,
        "crops": crops,
        "runs": "SELECT kind, identity, status, done, total, result FROM runs WHERE kind = 'harvest'",
        "checkpoints": "SELECT count(*) FROM checkpoints",
    }
    return {name: ask(path, query) for name, query in queries.items()}


def _command(*arguments: str) -> int:
    """Run a command of ours in this process, without a word; its exit code."""
    from autointerp.cli import main

    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
        try:
            main(list(arguments))
        except SystemExit as ended:
            return int(ended.code or 0)
    return 0


def _killed(path: Path, after: float) -> bool:
    """Harvest in a process of its own and kill it after some seconds; False if it was done before."""
    child = os.fork()
    if not child:
        os._exit(_command("-w", str(path), *HARVEST))
    deadline = time.monotonic() + after
    while time.monotonic() < deadline:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            if os.waitstatus_to_exitcode(status):
                raise RuntimeError("the harvest failed by itself")
            return False
        time.sleep(0.002)
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


def run_kills(kills: int, seed: int = 0) -> dict[str, Any]:
    """Kill until there were so many, each harvest begun being gone on with until it is done.

    Raises:
        RuntimeError: Rows differ, or the database is not whole.
    """
    import torch

    from autointerp.diffusion import loading
    from autointerp.project.settings import Settings
    from autointerp.project.workspace import WorkspaceFolder
    from autointerp.stages.harvest import harvesting as harvest

    torch.set_num_threads(1)  # What is forked has no threads but its own.
    harvest.CHECKPOINT_IMAGES = CHECKPOINT
    loading.load_model = cache(loading.load_model)
    draw = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        fitted, whole, path = (Path(folder) / name for name in ("fitted", "whole", "killed"))
        WorkspaceFolder.create(fitted, Settings.from_values(SETTINGS)).close()
        if _command("-w", str(fitted), "fit", "--layer", "mid", "--kind", "random", "--latents", "256"):
            raise RuntimeError("nothing was fitted")
        shutil.copytree(fitted, whole)
        begun = time.monotonic()
        if _command("-w", str(whole), *HARVEST):
            raise RuntimeError("nothing was harvested")
        duration = time.monotonic() - begun
        expected = harvested_rows(whole)
        made = done = 0
        while made < kills:
            shutil.copytree(fitted, path)
            while _killed(path, draw.uniform(0, duration) if made < kills else 1e6):
                made += 1
                if _command("-w", str(path), "db", "check"):
                    raise RuntimeError(f"after kill {made} the database is not whole")
            found = harvested_rows(path)
            for table, rows in expected.items():
                if found[table] != rows:
                    raise RuntimeError(f"after kill {made} the rows of {table} differ")
            if _command("-w", str(path), "db", "check"):
                raise RuntimeError("the database is not whole")
            shutil.rmtree(path)
            done += 1
        return {"kills": made, "harvests": done, "crops": len(expected["crops"]), "seconds_unstopped": duration}


if __name__ == "__main__":
    print(json.dumps(run_kills(int(sys.argv[1]))))
