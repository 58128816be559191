"""Pictures and maps under their ids."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def test_bytes_are_those_of_the_database(client: Any, labeled: Path, query: Any) -> None:
    ((image, data),) = query(labeled, "SELECT id, picture FROM images ORDER BY id LIMIT 1")
    assert client.get(f"/pictures/{image}.webp").content == data
    ((crop,),) = query(labeled, "SELECT min(id) FROM crops WHERE activation_map IS NULL")
    assert client.get(f"/maps/{crop}.json").json() is None
    for path in ("/pictures/0.webp", "/pictures/x.webp", "/pictures/1.png", "/maps/-.json"):
        assert client.get(path).status_code in (400, 404)
    assert client.get("/maps/999999999.json").json() is None
