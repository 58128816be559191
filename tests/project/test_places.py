"""Which module of a layer a kind reads."""

from __future__ import annotations

from pathlib import Path

import pytest

from autointerp.diffusion.describe import describe_model
from autointerp.diffusion.layers import resolve_layer
from autointerp.errors import UsageError
from autointerp.project.places import inside
from tests.diffusion import tiny


def test_each_kind_reads_the_layer_its_units_or_its_mlp() -> None:
    model = describe_model("shapes-turbo")
    layer = resolve_layer(model, "mid")
    assert inside(model, layer, "topk") == layer
    assert inside(model, layer, "unknown") == layer
    units, mlp = inside(model, layer, "neurons"), inside(model, layer, "transcoder")
    assert units.hookpoint == f"{mlp.hookpoint}.net.0"
    assert (mlp.name, mlp.d_in, mlp.width, mlp.signal) == ("mid", layer.d_in, 2 * layer.d_in, "map")


def test_an_mlp_that_is_no_module_is_refused(tmp_path: Path) -> None:
    model = describe_model(str(tiny.save(tiny.FAMILIES["flux"], tmp_path / "flux")))
    layer = resolve_layer(model, "transformer.single_transformer_blocks.0")
    with pytest.raises(UsageError, match="no module of its own"):
        inside(model, layer, "transcoder")
