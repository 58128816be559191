"""The task that reads a picture: its files, and the caption of a picture that was dropped."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from PIL import Image

from autointerp.errors import UsageError
from autointerp.progress import NullProgress
from autointerp.web.workers.reading import read
from autointerp.web.workers.tasks import Workbench


@pytest.fixture(scope="module")
def bench(labeled: Path) -> Workbench:
    return Workbench(labeled, NullProgress())


def test_a_prompt_and_a_file_are_read_to_a_picture_and_its_features(bench: Workbench, tmp_path: Path) -> None:
    Image.new("RGB", (64, 96), (220, 30, 30)).save(tmp_path / "red.png")
    for prompt, picture in (("large red circle", ""), ("", str(tmp_path / "red.png"))):
        made = read(bench, {"prompt": prompt, "picture": picture, "seed": 4})
        assert set(made.files) == {"picture.webp", "reading.json"}
        said = json.loads(made.files["reading.json"])
        assert said["features"]
        with Image.open(io.BytesIO(made.files["picture.webp"])) as shown:
            assert list(shown.size) == said["size"] == [96, 96]
        assert bool(said["words"]) == bool(prompt)


def test_an_empty_prompt_is_one_line(bench: Workbench) -> None:
    with pytest.raises(UsageError, match="the prompt is empty"):
        read(bench, {"prompt": "", "picture": "", "seed": 4})
