"""The registry of families."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from autointerp.diffusion.families import FAMILIES, Family, family_of
from autointerp.errors import AutointerpError


@pytest.mark.parametrize("pipeline_class", FAMILIES)
def test_a_row_leads_to_the_family_of_its_class(pipeline_class: str) -> None:
    family = family_of(pipeline_class)
    assert family.pipeline_class == pipeline_class
    assert family.denoiser in family.components


@pytest.mark.parametrize(
    ("components", "denoiser"), [(("unet", "vae"), "unet"), (("vae", "transformer"), "transformer")]
)
def test_another_class_is_open_by_its_components(components: tuple[str, ...], denoiser: str) -> None:
    family = family_of("OtherPipeline", components)
    assert (family.pipeline_class, family.denoiser, family.open) == ("OtherPipeline", denoiser, True)


def test_a_class_without_a_denoiser_is_refused() -> None:
    with pytest.raises(AutointerpError, match="no family is known for the pipeline class 'OtherPipeline'"):
        family_of("OtherPipeline", ("unet", "decoder"))


def test_the_table_of_the_readme_names_the_classes_of_the_registry() -> None:
    readme = (Path(__file__).parents[3] / "README.md").read_text(encoding="utf-8")
    table = readme.partition("| family | pipeline class |")[2].partition("\n\n")[0]
    assert set(re.findall(r"`(\w+Pipeline)`", table)) == set(FAMILIES)


def test_a_family_without_a_method_cannot_be_made() -> None:
    class Unfinished(Family):
        name = "unfinished"

    with pytest.raises(TypeError, match="abstract method"):
        Unfinished()  # type: ignore[abstract]
