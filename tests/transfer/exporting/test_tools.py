"""Files of other tools: written, and read back into another workspace."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from autointerp import load_dictionary

from ..bundles import Cli
from ..files import labels, one_line, saelens


@pytest.mark.parametrize("form", ["saelens", "sparsify", "dictionary-learning"])
def test_export_and_back(tmp_path: Path, cli: Cli, form: str) -> None:
    """What one workspace exports, another imports: weights, labels, layer, signal and steps."""
    files = saelens(tmp_path / "sae")
    labels(files)
    assert cli("-w", tmp_path / "a", "import", files, "--layer", "late", "--signal", "update").code == 0
    out = tmp_path / "out"
    done = cli("-w", tmp_path / "a", "export", "--layer", "late", "-o", out, "--format", form)
    assert done.code == 0
    assert done.out == f"{out}\n"
    assert done.err == "2 labels\n"
    back = cli("-w", tmp_path / "b", "import", out)
    assert back.out == f"shapes-turbo.late.topk: topk, 24 latents, of {form}, 2 labels\n", back
    assert "yours" not in back.err
    assert "do not say" not in back.err

    first, second = (load_dictionary(tmp_path / w / "dictionaries" / "shapes-turbo.late.topk") for w in "ab")
    torch.testing.assert_close(second.directions, first.directions)
    assert cli("-w", tmp_path / "a", "export", "--layer", "late", "-o", out, "--format", form).code == 0
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("x")
    done = cli("-w", tmp_path / "a", "export", "--layer", "late", "-o", tmp_path / "mine", "--format", form)
    one_line(done, 2, "holds something that is not an export")


def test_what_a_format_cannot_express_is_refused(made: Path, cli: Cli) -> None:
    files = saelens(made.parent / "sae")
    config = json.loads((files / "cfg.json").read_text())
    (files / "cfg.json").write_text(json.dumps({**config, "architecture": "standard"}))
    assert cli("-w", made, "-q", "import", files, "--layer", "mid").code == 0
    done = cli("-w", made, "-q", "export", "--layer", "mid", "-o", made.parent / "out", "--format", "sparsify")
    one_line(done, 1, "kind relu", "saelens or dictionary-learning or bundle")
    assert not (made.parent / "out").exists()
