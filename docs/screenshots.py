"""Take the pictures of docs/browser.md: python docs/screenshots.py WORKSPACE [FEATURE]

The workspace has a labeled dictionary; FEATURE is shown, else the one of the best score. Needs Chromium.
"""

from __future__ import annotations

import io
import json
import shutil
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

from PIL import Image

DOCS = Path(__file__).parent


def main(workspace: str, feature: str = "") -> None:
    command = [sys.executable, "-m", "autointerp", "-w", workspace, "-q", "serve", "--port", "0"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    base = server.stdout.readline().strip().rstrip("/")
    try:
        if not feature:
            with urllib.request.urlopen(f"{base}/api/features?sort=score&limit=1") as answer:
                feature = json.load(answer)["features"][0]["feature"]
        take(base, {"browser-features": "/features?sort=score", "browser-feature": f"/feature/{feature}?sort=score"})
    finally:
        server.send_signal(signal.SIGINT)
        server.wait(30)


def take(base: str, pages: dict[str, str]) -> None:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium") or shutil.which("google-chrome"), args=["--no-sandbox"]
        )
        page = browser.new_page(viewport={"width": 1360, "height": 900})
        for name, path in pages.items():
            page.goto(base + path, wait_until="networkidle")
            with Image.open(io.BytesIO(page.screenshot())) as taken:
                # 256 colours halve the file, and nobody sees them.
                taken.convert("RGB").quantize(256).save(DOCS / f"{name}.png", optimize=True)
            print(DOCS / f"{name}.png")
        browser.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
