"""Layer, signal and steps: the person before the files, the files before the workspace."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ..bundles import Cli
from ..files import one_line, saelens


def test_the_files_say_where_and_the_person_wins(made: Path, cli: Cli) -> None:
    late = "transformer.single_transformer_blocks.2"
    files = saelens(made.parent / "sae", hook=late, signal="update", model="shapes-turbo", steps=[1])
    done = cli("-w", made, "import", files)
    assert done.out.startswith("shapes-turbo.late.topk:")
    assert "layer late: as the files say" in done.err
    assert "steps [1]: as the files say" in done.err
    row = json.loads(cli("-w", made, "status", "--json").out)["dictionaries"][0]
    assert (row["layer"], row["dictionary"]) == ("late", "shapes-turbo.late.topk")
    done = cli("-w", made, "import", files, "--layer", "mid", "--signal", "output", "--name", "mine")
    assert done.out.startswith("mine:")
    assert f"is yours; the files say {late}" in done.err
    assert "signal output is yours; the files say update" in done.err


@pytest.mark.parametrize(
    ("more", "code", "said"),
    [
        ([], 2, ["do not say which layer", "--layer", "early, mid, late"]),
        (["--layer", "mdi"], 2, ["did you mean 'mid'?"]),
        (["--layer", "mid", "--signal", "input"], 2, ["no signal 'input'", "output, update"]),
        (["--layer", "mid", "--format", "saelnes"], 2, ["did you mean 'saelens'?"]),
        (["--layer", "mid", "--format", "sparsify"], 1, ["not of the format sparsify"]),
        (["--layer", "mid", "--name", "a/b"], 2, ["cannot name a dictionary"]),
        (["--layer", "mid", "-k", "7"], 2, ["says k 3, not 7"]),
        (["--layer", "mid", "-k", "0"], 2, ["-k"]),
    ],
    ids=str,
)
def test_misuse(made: Path, cli: Cli, more: list[str], code: int, said: list[str]) -> None:
    one_line(cli("-w", made, "-q", "import", saelens(made.parent / "sae"), *more), code, *said)
    assert not (made / "dictionaries").exists()


def test_another_width_another_layer_a_name_that_is_taken(made: Path, cli: Cli) -> None:
    files = saelens(made.parent / "wide", d_in=1280, hook="unet.mid_block.attentions.0")
    one_line(cli("-w", made, "-q", "import", files, "--layer", "mid"), 1, "1280 wide", "192 wide")
    one_line(cli("-w", made, "-q", "import", files), 2, "unet.mid_block.attentions.0, which shapes-turbo does not have")
    files = saelens(made.parent / "sae")
    assert cli("-w", made, "-q", "import", files, "--layer", "mid", "--name", "mine").code == 0
    one_line(cli("-w", made, "-q", "import", files, "--layer", "late", "--name", "mine"), 2, "already")
