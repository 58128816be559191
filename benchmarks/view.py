"""The browser view at scale: a made-up workspace of many labeled features, and the times of its pages.

    python -m benchmarks.view --features 100000
    python -m benchmarks.view --steer autointerp-workspace

The workspace holds labeled features with five crops and one score each; names are drawn from the words of `shapes`,
pictures are few and shared, vectors of crops are random. The server is a process of its own, as `autointerp serve`
starts it. Times are of whole requests over the loopback; memory is the process's own, before and after a search.
Steering is timed in Chromium on a workspace that `label` made: from the click to the picture, with the model loaded.
"""

from __future__ import annotations

import io
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np

NAME = "shapes-turbo.mid.topk"
CROPS, PICTURES, GRID = 5, 500, 12
TARGETS = {"list": (50.0, 200.0), "feature": (100.0, None), "search": (150.0, None), "steer": (3000.0, None)}
"""Milliseconds at the median and at the 95th percentile, by the beginning of a row's name; None is not promised."""


@dataclass(frozen=True)
class Timed:
    """Requests of one kind, in milliseconds; `processor` is what one takes of the server's processor time.

    Processor time means something on a busy machine too.
    """

    what: str
    requests: int
    median: float
    p95: float
    processor: float


def make_workspace(path: Path, features: int, crops: bool) -> None:
    """Write a workspace of that many labeled features."""
    from autointerp.db import models, queries
    from autointerp.project.context import Context
    from autointerp.project.settings import Settings
    from autointerp.project.workspace import WorkspaceFolder

    WorkspaceFolder.create(path, Settings())
    ctx = Context(WorkspaceFolder(path))
    rng = np.random.default_rng(0)
    with ctx.db.session() as session:
        session.add(
            models.DictionaryRow(
                id=1,
                name=NAME,
                identity="made up",
                kind="topk",
                model="shapes-turbo",
                layer="mid",
                hookpoint="transformer.transformer_blocks.1",
                signal="output",
                steps=[0, 1, 2, 3],
                grid_rows=GRID,
                grid_cols=GRID,
                d_in=192,
                num_latents=features,
                k=8,
                weights_sha256="0" * 64,
            )
        )
        session.add(models.LabelerRow(id=1, kind="clip", model="made-up"))
        session.flush()
        bulk = queries.bulk.insert_many
        bulk(session, models.Image, list(_images(rng)))
        bulk(session, models.Feature, list(_features(rng, features)))
        bulk(session, models.Label, list(_labels(rng, features)))
        bulk(session, models.Score, list(_scores(rng, features)))
        queries.crops.replace_all(session, 1, _crops(rng, features))
    _write_indexes(ctx, rng, crops)
    ctx.workspace.close()


def _images(rng: np.random.Generator) -> Iterator[dict[str, Any]]:
    from PIL import Image

    from autointerp.shapes.scenes import render, sample_scene

    for number in range(1, PICTURES + 1):
        picture = Image.fromarray(render(sample_scene(rng)).image)
        buffer = io.BytesIO()
        picture.save(buffer, "WEBP", quality=90)
        yield {
            "id": number,
            "image_index": number,
            "prompt": f"a picture of number {number}",
            "prompt_hash": f"{number:064}",
            "seed": number,
            "generation_hash": f"{number:064}",
            "width": picture.width,
            "height": picture.height,
            "picture": buffer.getvalue(),
        }


def _features(rng: np.random.Generator, count: int) -> Iterator[dict[str, Any]]:
    shares, peaks = rng.dirichlet(np.ones(4), count).round(4), rng.gamma(3, 1, count)
    for number in range(count):
        yield {
            "id": number + 1,
            "dictionary_id": 1,
            "latent_index": number,
            "density": float(rng.beta(1, 60)),
            "max_activation": float(peaks[number]),
            "mean_activation": float(peaks[number] / 3),
            "state": "live",
            "histogram": {"first": 20, "counts": [9, 30, 60, 20, 4]},
            "steps": {str(step): float(share) for step, share in enumerate(shares[number])},
            "neighbours": {str((number + step) % count): 0.3 / step for step in range(1, 6)},
        }


def _labels(rng: np.random.Generator, count: int) -> Iterator[dict[str, Any]]:
    words = (
        ["large", "small", "tiny", "wide"],
        ["red", "green", "blue", "yellow", "purple", "orange", "pink", "cyan"],
        ["solid", "striped", "dotted", "checkered"],
        ["circle", "square", "triangle", "star", "ring", "cross", "edge", "corner"],
        ["top", "bottom", "left", "right"],
    )
    drawn = [rng.integers(len(some), size=count) for some in words]
    for number in range(count):
        name = " ".join(some[which[number]] for some, which in zip(words, drawn, strict=True))
        yield {
            "id": number + 1,
            "feature_id": number + 1,
            "labeler_id": 1,
            "status": "ok",
            "name": name,
            "explanation": f"Fires on a {name} in nearly all examples.",
            "confidence": 0.8,
        }


def _scores(rng: np.random.Generator, count: int) -> Iterator[dict[str, Any]]:
    for number, value in enumerate(rng.beta(5, 3, count).round(4).tolist()):
        ends = {"ci_low": max(value - 0.15, 0.0), "ci_high": min(value + 0.15, 1.0)}
        yield {"id": number + 1, "label_id": number + 1, "method": "embedding", "value": value, **ends}


def _crops(rng: np.random.Generator, count: int) -> Iterator[dict[str, Any]]:
    from autointerp.crops.maps import pack_map

    maps = [
        pack_map(np.sort(rng.choice(GRID * GRID, 12, replace=False)), rng.random(12) + 0.1, (GRID, GRID))
        for _ in range(64)
    ]
    for feature in range(1, count + 1):
        images = rng.choice(PICTURES, CROPS, replace=False)
        for rank, image in enumerate(images.tolist()):
            row, col = int(rng.integers(GRID)), int(rng.integers(GRID))
            left, top = min(8 * col, 56), min(8 * row, 56)
            yield {
                "feature_id": feature,
                "image_id": image + 1,
                "step": 3,
                "timestep": 1.0,
                "row": row,
                "col": col,
                "box_left": left,
                "box_top": top,
                "box_right": left + 40,
                "box_bottom": top + 40,
                "activation": 5.0 - rank,
                "activation_map": maps[(feature + rank) % len(maps)],
                "sample_probability": None,
                "rank": rank,
                "quantile": None,
                "role": "top",
                "split": "explain",
                "neighbour": None,
            }


def _write_indexes(ctx: Any, rng: np.random.Generator, crops: bool) -> None:
    """Write indexes that count as fresh: names by the embedder itself, crops by random vectors."""
    from autointerp.search.building import build_index
    from autointerp.search.index_file import write_index
    from autointerp.stages.index.contents import CONTENTS
    from autointerp.stages.index.opening import index_path

    row = ctx.dictionary_named(NAME)
    for kind in ("labels", "crops") if crops else ("labels",):
        contents = CONTENTS[kind](ctx, row)
        embedder = contents.load()
        rows = contents.rows()
        if kind == "labels":
            vectors = contents.embed(rows)
        else:
            vectors = rng.standard_normal((len(rows), vectors.shape[1]), dtype=np.float32)
            vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        path = index_path(ctx, row, kind)
        path.parent.mkdir(exist_ok=True)
        write_index(build_index(rows, vectors, embedder, contents.fingerprint(embedder)), path)


class Server:
    """`autointerp serve` as a process of its own; one that may only read paints nothing."""

    def __init__(self, path: Path, read_only: bool = True) -> None:
        command = [sys.executable, "-m", "autointerp", "-w", str(path), "-q", "serve", "--port", "0"]
        command += ["--read-only"] if read_only else []
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.address = self.process.stdout.readline().strip().rstrip("/")

    def memory(self) -> float:
        """MB of the process that are its own: not of files that are mapped."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(r"RssAnon:\s+(\d+) kB", status)
        return int(found[1]) / 1024 if found else float("nan")

    def processor(self) -> float:
        """Milliseconds of processor time that the process has had."""
        stat = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return 1000 * (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK")

    def get(self, path: str) -> tuple[float, bytes]:
        """Milliseconds of a request, and its answer."""
        begun = time.perf_counter()
        with urllib.request.urlopen(self.address + path, timeout=600) as answer:
            data = answer.read()
        return 1000 * (time.perf_counter() - begun), data

    def end(self) -> None:
        """Stop the process."""
        self.process.send_signal(signal.SIGINT)
        self.process.wait(30)


def timed(server: Server, what: str, ask: Callable[[int], float], count: int, readers: int = 1) -> Timed:
    """Time some requests, after one that is not counted."""
    ask(0)
    before = server.processor()
    numbers = range(1, count + 1)
    if readers == 1:
        # A browser is asked from the thread that it was opened in.
        times = sorted(map(ask, numbers))
    else:
        with ThreadPoolExecutor(readers) as pool:
            times = sorted(pool.map(ask, numbers))
    took = (server.processor() - before) / count
    median, p95 = statistics.median(times), times[int(0.95 * (count - 1))]
    return Timed(what, count, round(median, 1), round(p95, 1), round(took, 1))


def measure(server: Server, features: int, count: int) -> list[Timed]:
    """Time the pages."""
    rng = np.random.default_rng(1)

    def at(path: str) -> Callable[[int], float]:
        return lambda number: server.get(path.replace("{}", f"{NAME}:{int(rng.integers(features))}"))[0]

    def walk(number: int) -> float:
        nonlocal place
        took, data = server.get(f"/api/features?sort=score&after={place}" if place else "/api/features?sort=score")
        place = json.loads(data)["next"] or ""
        return took

    place = ""
    rows = [
        timed(server, "list, first page, by number", at("/features"), count),
        timed(server, "list, next pages by score", walk, count),
        timed(server, "list, anywhere, by doubt", at("/api/features?sort=doubt&after={}"), count),
        timed(
            server,
            "list, filtered, by name",
            at("/api/features?sort=name&density=0.01:0.05&min_score=embedding=0.6"),
            count,
        ),
        timed(server, "feature", at("/feature/{}?sort=doubt"), count),
    ]
    many = timed(server, "20 readers at once, list", at("/api/features?sort=doubt&after={}"), 4 * count, readers=20)
    return [*rows, many]


def first_paint(server: Server, paths: Sequence[str], count: int = 5) -> list[Timed]:
    """Milliseconds to the first paint in Chromium, of the system's; none where there is no Chromium."""

    def paint(page: Any, path: str) -> float:
        page.goto(server.address + path, wait_until="load")
        # The pages' policy lets no script wait for this in their place.
        while not (found := page.evaluate("performance.getEntriesByName('first-contentful-paint').length")):
            page.wait_for_timeout(20)
        assert found
        return float(page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime"))

    with chromium() as page:
        return [
            timed(server, f"first paint, {path}", lambda _, path=path: paint(page, path), count)
            for path in (paths if page else ())
        ]


def steer(server: Server, feature: str, count: int = 20) -> list[Timed]:
    """Milliseconds from the click on Paint to the picture, of the same prompt at other strengths; the model is loaded.

    `processor` is of the server alone: pictures are made by a process of their own.
    """

    def paint(page: Any, number: int) -> float:
        page.fill(".steered input[type=number]", str(4 + number))
        before = page.get_attribute(".stage .after", "src")
        begun = time.perf_counter()
        page.click("#paint")
        page.wait_for_function(
            "([before]) => { const one = document.querySelector('.stage .after');"
            " return one && one.src && !one.src.endsWith(before) && one.complete; }",
            arg=[before],
            polling=20,
        )
        return 1000 * (time.perf_counter() - begun)

    with chromium() as page:
        if page is None:
            return []
        prompt = "large+red+solid+circle+top+left,+sand+background"
        page.goto(f"{server.address}/steer?prompt={prompt}&seed=3&with={feature}=4", wait_until="load")
        page.locator(".stage .after").wait_for(timeout=180_000)
        page.locator("#doing").wait_for(state="hidden", timeout=180_000)
        return [timed(server, "steer, from the click to the picture", lambda number: paint(page, number), count)]


@contextmanager
def chromium() -> Iterator[Any]:
    """Open a page of the system's Chromium; None where there is none."""
    import shutil

    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        yield None
        return
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        # The pages' policy lets no script of a test wait for a picture.
        yield browser.new_page(bypass_csp=True)
        browser.close()


@click.command()
@click.option("--features", default=100_000, show_default=True, metavar="N")
@click.option("--requests", default=60, show_default=True, metavar="N", help="Of each kind.")
@click.option("--keep", type=click.Path(path_type=Path), metavar="DIR", help="Make the workspace here, or use it.")
@click.option("--no-crops", is_flag=True, help="Make no index of crops, and time no search in it.")
@click.option(
    "--steer", "steered", type=click.Path(path_type=Path, exists=True), metavar="DIR", help="Time Steer alone, here."
)
@click.option("--json", "as_json", is_flag=True)
def main(features: int, requests: int, keep: Path | None, no_crops: bool, steered: Path | None, as_json: bool) -> None:
    """Make a workspace of many labeled features, serve it, and time its pages."""
    if steered is not None:
        server = Server(steered, read_only=False)
        try:
            rows = steer(server, f"{NAME}:0")
        finally:
            server.end()
        click.echo(json.dumps([asdict(row) for row in rows], indent=2) if as_json else "\n".join(map(line_of, rows)))
        return
    with tempfile.TemporaryDirectory() as folder:
        path = keep or Path(folder) / "w"
        if not path.exists():
            begun = time.perf_counter()
            make_workspace(path, features, not no_crops)
            click.echo(f"made {features:,} features in {time.perf_counter() - begun:.0f} s", err=True)
        server = Server(path)
        try:
            started = server.get("/features")[0]
            rows = measure(server, features, requests)
            memory = {"before a search": round(server.memory())}
            cold = server.get("/api/search?q=red+circle&route=labels&limit=48")[0]
            for route in ("words", "labels") if no_crops else ("words", "labels", "crops", "all"):
                asked = f"/api/search?q=blue+star&route={route}&limit="
                rows.append(
                    timed(
                        server,
                        f"search, warm, {route}",
                        lambda n, asked=asked: server.get(f"{asked}{n % 9 + 40}")[0],
                        requests,
                    )
                )
            memory["after searches"] = round(server.memory())
            rows += first_paint(server, ["/features", f"/feature/{NAME}:7"])
        finally:
            server.end()
    found = {
        "features": features,
        "first list ms": round(started),
        "first search ms": round(cold),
        "memory MB": memory,
        "rows": [asdict(row) for row in rows],
    }
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    click.echo(f"{features:,} features; first list {started:.0f} ms, first search {cold:.0f} ms; memory {memory} MB")
    for row in rows:
        click.echo(line_of(row))


def line_of(row: Timed) -> str:
    """Return a row as it is printed, with what is promised of it."""
    promised = next((ends for word, ends in TARGETS.items() if row.what.startswith(word)), (None, None))
    said = f"promised {promised[0]:g}" if promised[0] is not None else ""
    return (
        f"{row.what:34} {row.requests:5} requests  median {row.median:8.1f} ms  p95 {row.p95:8.1f} ms  "
        f"processor {row.processor:6.1f} ms  {said}"
    )


if __name__ == "__main__":
    main()
