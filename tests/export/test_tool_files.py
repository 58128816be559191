"""A dictionary in another tool's files carries its labels and its provenance."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from autointerp.dictionaries.formats.detect import read_format
from autointerp.dictionaries.formats.source import Source
from autointerp.dictionaries.sae import TopK
from autointerp.errors import AutointerpError
from autointerp.export.rows import read_lines
from autointerp.export.tool_files import write_tool_files

from .examples import PROVENANCE, ROWS


@pytest.fixture
def dictionary() -> TopK:
    torch.manual_seed(0)
    directions = torch.nn.functional.normalize(torch.randn(6, 4), dim=1)
    return TopK(directions.T.contiguous(), torch.zeros(6), directions, torch.zeros(4), 2)


@pytest.mark.parametrize("form", ["saelens", "sparsify", "dictionary-learning"])
def test_a_dictionary_comes_back_with_its_labels(tmp_path: Path, dictionary: TopK, form: str) -> None:
    out = write_tool_files(tmp_path / "out", form, dictionary, PROVENANCE, ROWS)
    name, imported = read_format(Source(out))
    assert name == form
    assert PROVENANCE.items() <= imported.provenance.items()
    torch.testing.assert_close(imported.dictionary.directions, dictionary.directions)
    assert list(read_lines(out / "labels.jsonl")) == sorted(ROWS, key=lambda row: row.index)
    # The same again takes the place of the old one; without labels there is no file of them.
    write_tool_files(out, form, dictionary, PROVENANCE, [])
    assert not (out / "labels.jsonl").exists()


def test_a_folder_of_another_tool_is_left_alone(tmp_path: Path, dictionary: TopK) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "cfg.json").write_text(json.dumps({"d_in": 4}))
    with pytest.raises(AutointerpError, match="holds something that is not an export of saelens"):
        write_tool_files(tmp_path / "out", "saelens", dictionary, PROVENANCE, ROWS)


def test_what_a_format_cannot_express_is_refused_before_anything_is_written(tmp_path: Path, dictionary: TopK) -> None:
    from autointerp.dictionaries.sae import StepModulation

    dictionary.modulation = StepModulation((1,), torch.ones(1, 4), torch.zeros(1, 4))
    with pytest.raises(AutointerpError, match="depends on the denoising step"):
        write_tool_files(tmp_path / "out", "saelens", dictionary, PROVENANCE, ROWS)
    assert not (tmp_path / "out").exists()
