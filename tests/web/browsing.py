"""Pages in Chromium: a page that notes what should not be said or asked, and what a page should look like."""

from __future__ import annotations

from typing import Any

SIZES = [(360, 740), (600, 960), (820, 1180), (900, 900), (1280, 800), (1440, 900), (2560, 1440)]
SIDEWAYS = """[...document.querySelectorAll('body *')].filter(one =>
    ['auto', 'scroll'].includes(getComputedStyle(one).overflowX) && one.scrollWidth > one.clientWidth
    && !one.matches('.scroll')).map(one => one.outerHTML.slice(0, 120))"""
"""The parts of a page that scroll sideways; tables of figures (`.scroll`) may."""


class Browser:
    """A page that notes whatever should not be said or asked."""

    def __init__(self, chromium: Any, base: str, **options: Any) -> None:
        self.base, self.said = base, list[str]()
        self.context = chromium.new_context(base_url=base, **{"viewport": {"width": 1440, "height": 900}, **options})
        self.context.set_default_timeout(90_000)
        self.page = self.context.new_page()
        self.page.on("console", lambda message: self.said.append(f"{message.type}: {message.text}"))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("dialog", lambda dialog: self.said.append(dialog.message))
        self.page.on("request", self._asked)

    def _asked(self, request: Any) -> None:
        if not request.url.startswith((self.base, "data:", "blob:")):
            self.said.append(f"asked {request.url}")

    def open(self, path: str, until: str = "networkidle") -> Any:
        self.page.goto(path, wait_until=until)
        # What a browser says of an answer of 404 is no fault of the page.
        self.said = [said for said in self.said if "status of 404" not in said]
        return self.page

    def close(self) -> None:
        self.context.close()
        assert not self.said, self.said


def check_looks(page: Any, axe: str, what: str) -> None:
    """A page fits every size, and axe-core has no serious finding."""
    for width, height in SIZES:
        page.set_viewport_size({"width": width, "height": height})
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= width, (what, width, wide)
        assert page.evaluate(SIDEWAYS) == [], (what, width)
    page.set_viewport_size({"width": 1440, "height": 900})
    page.evaluate(axe)
    result = page.evaluate("axe.run(document, { resultTypes: ['violations'] })")
    serious = [
        (one["id"], [node["html"][:160] for node in one["nodes"]][:3])
        for one in result["violations"]
        if one["impact"] in ("serious", "critical")
    ]
    assert not serious, (what, serious)
