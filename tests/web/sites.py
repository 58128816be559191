"""Sites of workspaces, and clients that ask them as a browser on this machine would."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

NAME = "shapes-turbo.mid.topk"
PLAYING = (sys.executable, str(Path(__file__).parent / "workers" / "playing.py"))
"""What starts a worker process whose tasks need no model."""
HERE = "http://127.0.0.1:8765"


def site_of(path: Path, **access: Any) -> Any:
    from autointerp.project.context import Context
    from autointerp.project.workspace import WorkspaceFolder
    from autointerp.web.guard import Access
    from autointerp.web.site import ViewSite

    return ViewSite(Context(WorkspaceFolder(path)), Access(**access))


@contextmanager
def served(site: Any) -> Iterator[str]:
    """Serve a site from a thread; the value is its address. Its workers end with it."""
    import uvicorn

    from autointerp.web.app import make_app
    from autointerp.web.serving import bind

    with bind("127.0.0.1", 0) as bound:
        config = uvicorn.Config(make_app(site), log_level="critical", access_log=False, lifespan="off")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]}, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.02)
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"
        server.should_exit = True
        thread.join(20)
        site.close()


def client_of(site: Any) -> Any:
    from starlette.testclient import TestClient

    from autointerp.web.app import make_app

    return TestClient(make_app(site), base_url=HERE, raise_server_exceptions=False, follow_redirects=False)


class Asked:
    """A worker that notes what it is asked."""

    def __init__(self) -> None:
        self.tickets: list[tuple[str, dict[str, Any], float | None]] = []

    def submit(self, task: str, request: dict[str, Any], leash: float | None = None) -> Any:
        from autointerp.web.workers.worker import Ticket

        self.tickets.append((task, request, leash))
        return Ticket("a" * 32, task, request, leash)

    def knows(self, _ticket_id: str) -> bool:
        return bool(self.tickets)

    def find(self, ticket_id: str) -> Any:
        from autointerp.web.workers.worker import Ticket

        task, request, leash = self.tickets[-1]
        return Ticket(ticket_id, task, request, leash)

    def place(self, _ticket: Any) -> int:
        return 0
