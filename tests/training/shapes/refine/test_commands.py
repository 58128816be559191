"""The second training begins with the weights that are shipped, and saves what loads and answers in its form."""

from __future__ import annotations

import torch
from click.testing import CliRunner
from transformers import AutoTokenizer

from autointerp.shapes.vlm import FOLDER, load_shapes_vlm
from training.shapes.__main__ import main
from training.shapes.refine.commands import shipped_module
from training.shapes.vlm_answers import save_vlm
from training.shapes.vlm_model import new_processor


def test_a_module_has_the_shipped_weights_and_the_same_heads_each_time(pool):
    first, again = (shipped_module(FOLDER, len(pool.concepts)) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))
    shipped = load_shapes_vlm()._model.state_dict()
    assert all(torch.equal(value, shipped[name]) for name, value in first.vlm.state_dict().items())


def test_what_is_saved_is_loaded(pool, tmp_path):
    save_vlm(shipped_module(FOLDER, 4).vlm, new_processor(AutoTokenizer.from_pretrained(FOLDER)), tmp_path)
    vlm = load_shapes_vlm(tmp_path)
    assert vlm.tokenizer.get_vocab() == load_shapes_vlm().tokenizer.get_vocab()


def test_the_commands_are_there():
    for command in ("refine-vlm", "measure-refined"):
        assert CliRunner().invoke(main, [command, "--help"]).exit_code == 0
