"""The table of pipeline classes: none is missing, and each row says what happens."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from autointerp.diffusion.checking import check_classes, check_index
from autointerp.diffusion.describe import describe_model
from autointerp.diffusion.description import ModelDescription
from autointerp.diffusion.families import FAMILIES, GenericFamily, family_of
from autointerp.diffusion.families.classes import BY_HOOKPOINT, REFUSED
from autointerp.errors import AutointerpError

ROWS = [*FAMILIES, *BY_HOOKPOINT, *REFUSED]
PARTS = {part: ["diffusers", "X"] for part in ("transformer", "vae")}


def names_of_diffusers() -> list[str]:
    """Pipeline classes whose name alone does not refuse them."""
    import diffusers

    found = []
    for name in dir(diffusers):
        if name.endswith("Pipeline") and name != "DiffusionPipeline":
            try:
                check_index("m", {"_class_name": name})
            except AutointerpError:
                continue
            found.append(name)
    return found


def test_a_class_has_one_row_and_exists() -> None:
    import diffusers

    assert len(ROWS) == len(set(ROWS))
    missing = {name for name in ROWS if not hasattr(diffusers, name)}
    assert missing <= {name for name in REFUSED if "Modular" in name}


def test_every_class_that_makes_pictures_from_text_has_a_row() -> None:
    """All others need more than a prompt, which their own signature says."""
    for name in set(names_of_diffusers()) - set(ROWS):
        description = ModelDescription("m", "m", "r", GenericFamily(name, "unet"), {}, None, {})  # type: ignore[arg-type]
        with pytest.raises(AutointerpError, match="the model 'm' "):
            check_classes(description)


@pytest.mark.parametrize("name", REFUSED)
def test_a_class_that_is_not_read_is_refused_with_the_reason_of_its_row(tmp_path: Path, name: str) -> None:
    file = "modular_model_index.json" if "Modular" in name else "model_index.json"
    (tmp_path / file).write_text(json.dumps({"_class_name": name, **PARTS}))
    with pytest.raises(AutointerpError) as refused:
        describe_model(str(tmp_path))
    assert REFUSED[name].removeprefix("it ") in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("name", BY_HOOKPOINT)
def test_the_generic_entry_takes_the_others(name: str) -> None:
    family = family_of(name, ("transformer", "vae"))
    assert isinstance(family, GenericFamily)
    assert family.pipeline_class == name


@pytest.mark.parametrize("name", FAMILIES)
def test_loras_are_loaded_into_the_denoiser_where_the_row_says_so(name: str) -> None:
    import diffusers

    family = family_of(name)
    taking = getattr(getattr(diffusers, name), "_lora_loadable_modules", [])
    assert family.has_loras == (family.denoiser in taking)
