"""Take the pictures of docs/browser.md and of the gallery: python docs/screenshots.py WORKSPACE [FEATURE [STEERED]]

The workspace has a labeled dictionary of shapes-turbo. FEATURE is shown, and STEERED made stronger; else it is the one
of the best score. Truth and Experiments are taken where `evaluate` or an experiment was run. Needs Chromium.
"""

from __future__ import annotations

import io
import json
import shutil
import signal
import subprocess
import sys
import tempfile
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from PIL import Image

DOCS = Path(__file__).parent
PROMPT = "large red striped circle center, small blue solid star top left, sand background"

JOB = ("#job [value=score]", "#job [value=embedding]", "#job [value=gain]", "#job > button")
"""What is clicked to plan gain scores: embedding scores are chosen at first."""


@dataclass(frozen=True)
class View:
    """A page, what shows that it is ready, and what is clicked and then waited for before the picture is taken.

    `text` is typed where it is ready.
    """

    path: str
    ready: str = ""
    clicks: tuple[str, ...] = ()
    then: str = ""
    text: str = ""


def main(workspace: str, feature: str = "", steered: str = "") -> None:
    command = [sys.executable, "-m", "autointerp", "-w", workspace, "-q", "serve", "--port", "0"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    base = server.stdout.readline().strip().rstrip("/")
    try:
        if not feature:
            feature = asked_of(base, "/api/features?sort=score&limit=1")["features"][0]["feature"]
        asked = {"prompt": PROMPT, "seed": 3}
        job = urlencode({"dictionary": feature.rpartition(":")[0]})
        steer = urlencode({**asked, "with": f"{steered or feature}=6"})
        views = {
            "browser-features": View("/features?sort=score"),
            "browser-feature": View(f"/feature/{feature}?sort=score"),
            "browser-picture": View(f"/picture?{urlencode(asked)}", "#actives li", ("#actives button",)),
            "browser-steer": View(f"/steer?{steer}", ".stage .after", ("#row",)),
            "browser-jobs": View(f"/jobs?{job}", "#job", JOB, "#plan p:not(.note)"),
        }
        if asked_of(base, "/api/truths")["total"]:
            views["browser-truth"] = View("/truth", ".kind .card img")
        if asked_of(base, "/api/experiments"):
            views["browser-experiments"] = View("/experiments", "h1", ("table a",), ".figures, .verdicts")
        take(base, views)
    finally:
        server.send_signal(signal.SIGINT)
        server.wait(30)
    with tempfile.TemporaryDirectory() as folder:
        export = ["export", "--layer", "mid", "-o", f"{folder}/gallery", "--format", "html"]
        subprocess.run([sys.executable, "-m", "autointerp", "-w", workspace, "-q", *export], check=True)
        take(f"file://{folder}/gallery", {"gallery": View("/index.html", "input[type=search]", text="dotted")})


def asked_of(base: str, path: str) -> Any:
    """Return what the API says."""
    with urllib.request.urlopen(base + path) as answer:
        return json.load(answer)


def take(base: str, views: dict[str, View]) -> None:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium") or shutil.which("google-chrome"), args=["--no-sandbox"]
        )
        page = browser.new_page(viewport={"width": 1360, "height": 900})
        for name, view in views.items():
            page.goto(base + view.path, wait_until="load" if view.ready else "networkidle")
            for selector in (view.ready, *view.clicks):
                if selector:
                    page.locator(selector).first.wait_for(timeout=180_000)
                if selector in view.clicks:
                    page.locator(selector).first.click()
            if view.text:
                page.fill(view.ready, view.text)
                page.wait_for_timeout(500)
            if view.then:
                page.locator(view.then).first.wait_for(timeout=180_000)
            if view.ready and not view.text:
                page.locator("#doing").wait_for(state="hidden", timeout=180_000)
                page.wait_for_load_state("networkidle")
            with Image.open(io.BytesIO(page.screenshot())) as taken:
                # 256 colours halve the file, and nobody sees them.
                taken.convert("RGB").quantize(256).save(DOCS / f"{name}.png", optimize=True)
            print(DOCS / f"{name}.png")
        browser.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
