"""The page Picture: a prompt, or a picture that was dropped, goes to the worker; a path never does."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

from PIL import Image

from tests.web.sites import HERE, Asked


def test_a_prompt_is_a_prompt_even_where_it_is_a_path(client: Any, worker: Asked, post: Callable[..., Any]) -> None:
    post(client, "/api/reading", {"prompt": "/etc/passwd", "seed": 3})
    assert worker.tickets[0][:2] == ("read", {"prompt": "/etc/passwd", "picture": "", "seed": 3})
    assert worker.tickets[0][2] is not None


def test_a_picture_is_one_that_was_dropped(client: Any, site: Any, worker: Asked, post: Callable[..., Any]) -> None:
    for picture in ("../../etc/passwd", "a" * 32, "/etc/passwd"):
        answer = post(client, "/api/reading", {"picture": picture, "seed": 3})
        assert (answer.status_code, answer.json()["error"]) == (400, "this picture is gone")
    assert worker.tickets == []
    buffer = io.BytesIO()
    Image.new("RGB", (64, 64), (220, 20, 20)).save(buffer, "PNG")
    name = client.post("/pictures", content=buffer.getvalue(), headers={"origin": HERE}).json()["picture"]
    line = post(client, "/api/reading", {"picture": name, "seed": 3}).json()
    assert worker.tickets[0][1]["picture"] == str(site.pictures.path(name))
    assert str(site.pictures.path(name)) not in str(line)


def test_the_page_begins_with_a_prompt_of_the_workspace(client: Any, query: Any, site: Any) -> None:
    ((prompt,),) = query(site.ctx.workspace.path, "SELECT prompt FROM images ORDER BY id LIMIT 1")
    assert prompt in client.get("/picture").text
