from __future__ import annotations

from autointerp.diffusion.sources.prompts import load_prompts
from autointerp.search.embedders import EMBEDDED
from autointerp.shapes.oracle import Oracle
from autointerp.worlds import DEFAULT_MODEL, OPEN, UNNAMED_MODEL, WORLDS, world_of


def test_a_model_that_people_name_is_of_the_open_world() -> None:
    for model in ("stabilityai/sdxl-turbo", "./folder", ""):
        assert world_of(model) is OPEN
    assert OPEN.is_open
    assert OPEN.folder is None
    assert OPEN.truth is None
    assert OPEN.vocabulary().phrases == ()


def test_what_an_embedded_world_names_is_there() -> None:
    assert {DEFAULT_MODEL, UNNAMED_MODEL} <= set(WORLDS)
    for name, world in WORLDS.items():
        assert world_of(name) is world
        assert not world.is_open
        assert world.folder is not None
        assert (world.folder / "model_index.json").is_file()
        assert load_prompts(world.prompts).spec == world.prompts
        assert world.embedder in EMBEDDED
        assert "red" in world.vocabulary().phrases
        assert world.truth is not None
    assert isinstance(world_of("shapes").truth.load()(), Oracle)
