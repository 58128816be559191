"""A site of a labeled workspace, and what asks it as a browser on this machine would."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.web.browsing import Browser
from tests.web.sites import HERE, NAME, Asked, client_of, served, site_of


@pytest.fixture(scope="module")
def site(labeled: Path, databases: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The site of a copy of the labeled workspace, whose labels nobody may change."""
    return site_of(databases.copy(labeled, tmp_path_factory.mktemp("site") / "w"))


@pytest.fixture(scope="module")
def client(site: Any) -> Any:
    return client_of(site)


@pytest.fixture
def own(workspace: Path) -> Any:
    """A client of a copy of the workspace, to do anything with."""
    return client_of(site_of(workspace))


@pytest.fixture
def worker(site: Any, monkeypatch: pytest.MonkeyPatch) -> Asked:
    """What the site's pages ask of the process for pictures, which is not there."""
    asked = Asked()
    monkeypatch.setitem(site.__dict__, "painter", asked)
    return asked


@pytest.fixture
def post() -> Callable[..., Any]:
    """Send JSON as a page of the server would."""
    return lambda client, path, value: client.post(path, json=value, headers={"origin": HERE})


@pytest.fixture
def named(workspace: Path, query: Callable[..., list[Any]]) -> str:
    """A feature that the labeler named."""
    ((latent,),) = query(
        workspace,
        "SELECT f.latent_index FROM features f JOIN labels l ON l.feature_id = f.id WHERE l.status = 'ok' "
        "ORDER BY f.latent_index LIMIT 1",
    )
    return f"{NAME}:{latent}"


@pytest.fixture
def start() -> Iterator[Callable[..., str]]:
    """Serve a workspace, or a site that was made of it, from a thread; returns its address."""
    with ExitStack() as stack:
        yield lambda path, site=None: stack.enter_context(served(site or site_of(path)))


@pytest.fixture
def open_browser(chromium: Any) -> Iterator[Callable[..., Browser]]:
    opened: list[Browser] = []

    def opening(base: str, **options: Any) -> Browser:
        opened.append(Browser(chromium, base, **options))
        return opened[-1]

    yield opening
    for browser in opened:
        browser.close()


@pytest.fixture
def axe(pytestconfig: pytest.Config) -> str:
    """The script of axe-core."""
    found = importlib.util.find_spec("axe_playwright_python")
    if found is None or found.origin is None:
        (pytest.fail if pytestconfig.getoption("--chromium") else pytest.skip)("there is no axe-playwright-python")
    return (Path(found.origin).parent / "axe.min.js").read_text(encoding="utf-8")
