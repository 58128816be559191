"""Recordings hold what a capture sees, picture by picture."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from autointerp.diffusion.edits import Edit, add_vector
from autointerp.diffusion.layers import resolve_layer
from autointerp.diffusion.recording import record
from tests.diffusion.helpers import JOBS, Models, captured_of, settings_of


def test_a_recording_has_each_pictures_activations_at_each_step(tiny_model: Models) -> None:
    model = tiny_model("pixart")
    settings = settings_of(model)
    layers = [resolve_layer(model, "early"), resolve_layer(model, "mid", signal="output")]
    jobs = [dataclasses.replace(job, index=7 - job.index) for job in JOBS]
    edits = [Edit(layers[1], add_vector(torch.ones(layers[1].d_in)), images=(6,))]
    recorded = record(model, jobs, settings, layers, batch_size=2, edits=edits)
    steps = tuple(range(settings.steps))
    seen, pictures = captured_of(model, layers, steps, settings, jobs=jobs, edits=edits)
    for row, one in enumerate(recorded):
        assert np.array_equal(np.asarray(one.picture), pictures[row])
        for layer in layers:
            expected = torch.stack([c.acts[row] for c in seen if c.layer == layer])
            assert torch.equal(one.of(layer, steps), expected)
    assert not torch.allclose(recorded[0].of(layers[1], (1,)), recorded[1].of(layers[1], (1,)))
    with pytest.raises(ValueError, match="two jobs have one number"):
        record(model, [JOBS[0], JOBS[0]], settings, layers)
