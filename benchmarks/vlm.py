"""Labeling by a remote model: how near it comes to the rate that the server allows, and what a feature costs us.

A server in a process of its own answers after two seconds; with 32 requests at a time no more than 16 features a second
can be named, and 500 features not before 16 rounds are over, which is 15.6 a second. `ours` is the rate by the server's
own clock, from the first request that it sees to its last answer, and `other` that ideal; without latency it is that of
the whole stage, to the last label kept. Memory is that of the process after all features, and after the first fifth of
them. Beside it what each part takes of a processor alone: reading, cutting and marking, encoding, the client (hash,
budget, HTTP). The ledger is asked and written by as many threads as requests run.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks.chat_server import Behaviour, Server
from benchmarks.pairs import Row

JOBS, LATENCY, FEATURES = 32, 2.0, 500
QUICK_LATENCY, QUICK_FEATURES = 0.2, 60
SETTINGS: dict[str, Any] = {
    "model": "shapes",
    "images": 160,
    "fit_images": 8,
    "steps": 2,
    "capture_steps": [1],
    "device": "cpu",
    "dtype": "float32",
}
ANSWERS, QUICK_ANSWERS = 2_000, 300


@contextlib.contextmanager
def harvested(settings: dict[str, Any], latents: int) -> Iterator[Path]:
    """A workspace with crops of shapes' pictures, of random directions: each of them is live."""
    from autointerp.project.settings import Settings
    from autointerp.project.workspace import WorkspaceFolder
    from benchmarks.kills import _command as command

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "w"
        WorkspaceFolder.create(path, Settings.from_values(settings)).close()
        for step in (("fit", "--kind", "random", "--latents", str(latents)), ("harvest",)):
            if command("-w", str(path), step[0], "--layer", "mid", *step[1:]):
                raise RuntimeError(f"{step[0]} failed")
        yield path


def resident() -> float:
    """Memory of this process now, in MB."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def named(
    path: Path, base_url: str, features: int, jobs: int, api_key_env: str = "NO_KEY"
) -> tuple[float, list[float]]:
    """Name features of a workspace: seconds, and memory in MB after each label."""
    from autointerp.progress import NullProgress
    from autointerp.project.context import Context
    from autointerp.project.labelers import LabelerRequest, make_labeler
    from autointerp.project.workspace import WorkspaceFolder
    from autointerp.stages.label.labeling import LabelRequest, run_label, wanted_features

    memory: list[float] = []

    class Watching(NullProgress):
        @contextlib.contextmanager
        def task(self, what: str, total: int, done: int = 0, unit: str = "it") -> Iterator[Any]:
            class Task:
                def advance(self, n: int = 1, note: str = "") -> None:
                    memory.append(resident())

            yield Task()

    workspace = WorkspaceFolder(path)
    ctx = Context(workspace, Watching())
    row = ctx.dictionary_of("mid")
    assert row is not None
    labeler = make_labeler(ctx, LabelerRequest("vlm", "stub", base_url, api_key_env, jobs), row.layer)
    rows = wanted_features(ctx, row, LabelRequest(count=features))
    if len(rows) < features:
        raise RuntimeError(f"only {len(rows)} features are live")
    begun = time.perf_counter()
    run_label(ctx, row, labeler, rows)
    took = time.perf_counter() - begun
    workspace.db.close()
    return took, memory


def parts(path: Path, features: int, answers: int) -> dict[str, float]:
    """Processor seconds a feature of each part of the work; of the ledger seconds a call, with all threads."""
    from autointerp.labeling.asking.chat import ChatClient
    from autointerp.labeling.asking.ledger import CallRecord
    from autointerp.labeling.asking.messages import image_part, marked_view, whole_picture
    from autointerp.labeling.asking.replies import LABEL_SCHEMA
    from autointerp.labeling.labelers.vlm import VlmLabeler
    from autointerp.project.context import Context
    from autointerp.project.evidence import EvidenceReader
    from autointerp.project.ledger import DatabaseLedger
    from autointerp.project.workspace import WorkspaceFolder
    from autointerp.stages.label.labeling import LabelRequest, wanted_features

    workspace = WorkspaceFolder(path)
    ctx = Context(workspace)
    row = ctx.dictionary_of("mid")
    assert row is not None
    rows = wanted_features(ctx, row, LabelRequest(count=features))
    found, begun = {}, time.process_time()

    def lap(name: str, count: int) -> None:
        nonlocal begun
        found[name] = (time.process_time() - begun) / count
        begun = time.process_time()

    evidence = list(EvidenceReader(ctx.db, row).stream(rows))
    lap("reading", features)
    with Server(Behaviour()) as server:
        client = ChatClient("stub", server.base_url, "NO_KEY")
        labeler = VlmLabeler(client, jobs=1)
        chosen = [
            [*one.crops[: labeler.options.crops], *one.negatives[: labeler.options.negatives]] for one in evidence
        ]
        begun = time.process_time()
        views = [
            [view for crop in crops for view in [*whole_picture(crop), *marked_view(crop, labeler.options.mark)]]
            for crops in chosen
        ]
        lap("cutting and marking", features)
        for some in views:
            for view in some:
                image_part(view, labeler.options.image_format)
        lap("encoding", features)
        requests = [labeler.messages(one) for one in evidence]
        begun = time.process_time()
        for request in requests:
            client.ask(request, LABEL_SCHEMA, "label")
        lap("client", features)
    ledger = DatabaseLedger(ctx.db)
    calls = [CallRecord(f"{i:064}", "label", "m", "x" * 200, "", 1000, 50, None, 1.0) for i in range(answers)]

    def kept(call: CallRecord) -> None:
        assert ledger.find(call.request_hash) is None
        ledger.record([call])

    with ThreadPoolExecutor(JOBS) as pool:
        started = time.perf_counter()
        list(pool.map(kept, calls))
        found["database"] = (time.perf_counter() - started) / answers
    workspace.db.close()
    return found


def run(quick: bool, pairs: int | None = None) -> list[Row]:
    """Measure the rate with and without latency, memory, and the parts."""
    features, latency = (QUICK_FEATURES, QUICK_LATENCY) if quick else (FEATURES, LATENCY)
    settings = SETTINGS | ({"images": 32} if quick else {})
    rates, ideals, memory, early, free = [], [], [], [], []
    with harvested(settings, features + features // 4) as path:
        for _, wait in itertools.product(range(pairs or 1), (latency, 0.0)):
            with tempfile.TemporaryDirectory() as folder, Server(Behaviour(wait)) as server:
                copy = Path(folder) / "w"
                shutil.copytree(path, copy)
                took, seen = named(copy, server.base_url, features, JOBS)
                counted = server.counts()
                if not wait:
                    free.append(features / took)
                    continue
                rates.append(features / (counted["last"] - counted["first"]))
                ideals.append(features / (math.ceil(features / JOBS) * wait))
                memory.append(max(seen))
                early.append(max(seen[: features // 5]))
        alone = parts(path, min(features, 100), QUICK_ANSWERS if quick else ANSWERS)
    what = f"{features} features, {latency:g} s a request, -j {JOBS}"
    rows = [
        Row.of("vlm", f"{what}: rate / ideal rate", "a second", rates, ideals),
        Row.of("vlm", f"{what}: memory after all / after a fifth", "MB", memory, early),
        Row.of("vlm", "no latency: rate / ideal rate at 2 s", "a second", free, [JOBS / LATENCY] * len(free)),
    ]
    whole = 1 / free[-1]
    for name in ("reading", "cutting and marking", "encoding", "client"):
        rows.append(
            Row.of("vlm", f"{name}: processor time / time of a feature without latency", "s", [alone[name]], [whole])
        )
    rows.append(Row.of("vlm", f"ledger, {JOBS} threads: answers / 500", "a second", [1 / alone["database"]], [500]))
    return rows
