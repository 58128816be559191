"""One pass for several harvests: each reads its own steps, and keeps the pictures that it needs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Cli = Callable[..., Any]
Query = Callable[..., list[Any]]


def test_a_harvest_leaves_the_pictures_of_those_beside_it_and_each_reads_its_own_steps(
    tmp_path: Path, labeled: Path, cli: Cli, query: Query
) -> None:
    """Few crops, so that each needs pictures that the other does not; and one reads another step."""
    rows = (
        "SELECT latent_index, image_index, step, row, col, activation FROM crops"
        " JOIN features ON features.id = feature_id JOIN images ON images.id = image_id"
        " JOIN dictionaries d ON d.id = dictionary_id WHERE d.name = '{}' ORDER BY 1, 2"
    )
    settings = (labeled / "autointerp.toml").read_text().split("[crops]")[0]
    settings = settings.replace("latents = 64", "latents = 4") + "[crops]\ntop = 2\nquantile = 0\nnegatives = 0\n"
    found = {}
    for path in (tmp_path / "apart", tmp_path / "together"):
        path.mkdir()
        for steps in ("[1]", "[0]"):
            (path / "autointerp.toml").write_text(settings.replace("capture_steps = [1]", f"capture_steps = {steps}"))
            assert cli("-w", path, "fit", "--layer", "mid", "--kind", "random", "--name", f"of-{steps[1]}").code == 0
        commands = [["of-1"], ["of-0"]] if path.name == "apart" else [["of-1", "of-0"]]
        for names in commands:
            asked = [option for name in names for option in ("--dictionary", name)]
            done = cli("-w", path, "harvest", "--layer", "mid", *asked)
            assert done.code == 0, done.err
        found[path.name] = [query(path, rows.format(name)) for name in ("of-1", "of-0")]
    assert found["together"] == found["apart"]
    assert {row[2] for row in found["together"][0]} == {1}
    assert {row[2] for row in found["together"][1]} == {0}


def test_pictures_of_a_stopped_harvest_stay_and_no_others(
    tmp_path: Path, labeled: Path, cli: Cli, query: Query, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside a harvest of other images, whose numbers are the same, and after that was removed."""
    from autointerp.errors import AutointerpError
    from autointerp.stages.harvest import harvesting as harvest

    settings = (labeled / "autointerp.toml").read_text().split("[crops]")[0]
    settings = settings.replace("latents = 64", "latents = 4") + "[crops]\ntop = 2\nquantile = 0\nnegatives = 0\n"
    unused = "SELECT generation_hash FROM images WHERE id NOT IN (SELECT image_id FROM crops) ORDER BY 1"

    def harvested(seed: int) -> Any:
        (tmp_path / "autointerp.toml").write_text(f"seed = {seed}\n{settings}")
        name = f"of-{seed}"
        assert cli("-w", tmp_path, "fit", "--layer", "mid", "--kind", "random", "--name", name).code == 0
        return cli("-w", tmp_path, "harvest", "--layer", "mid", "--dictionary", name)

    def stop(self: Any) -> None:
        raise AutointerpError("stopped")

    with monkeypatch.context() as patch:
        patch.setattr(harvest.HarvestPass, "finish", stop)
        assert harvested(0).code == 1
    kept = query(tmp_path, unused)
    assert kept
    assert harvested(5).code == 0
    assert query(tmp_path, unused) == kept
    assert cli("-w", tmp_path, "rm", "of-5").code == 0
    assert query(tmp_path, unused) == kept
    done = harvested(0)
    assert done.code == 0
    assert "starts again" not in done.err
    assert query(tmp_path, unused) == []
