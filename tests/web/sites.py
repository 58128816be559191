"""Sites of workspaces, and clients that ask them as a browser on this machine would."""

from __future__ import annotations

from pathlib import Path
from typing import Any

NAME = "shapes-turbo.mid.topk"
HERE = "http://127.0.0.1:8765"


def site_of(path: Path, **access: Any) -> Any:
    from autointerp.project.context import Context
    from autointerp.project.workspace import WorkspaceFolder
    from autointerp.web.guard import Access
    from autointerp.web.site import ViewSite

    return ViewSite(Context(WorkspaceFolder(path)), Access(**access))


def client_of(site: Any) -> Any:
    from starlette.testclient import TestClient

    from autointerp.web.app import make_app

    return TestClient(make_app(site), base_url=HERE, raise_server_exceptions=False, follow_redirects=False)
