"""A site of a labeled workspace, and what asks it as a browser on this machine would."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.web.sites import HERE, NAME, client_of, site_of


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
