"""Labels of another tool belong to a labeler of its name."""

from __future__ import annotations

import json
from pathlib import Path

from .labels import NAME, Cli, Query, human, shown


def test_labels_of_another_tool_are_a_labeler_of_its_name(
    run: Cli, workspace: Path, live: list[int], query: Query, tmp_path: Path
) -> None:
    hookpoint = query(workspace, "SELECT hookpoint FROM dictionaries")[0][0]
    folder = tmp_path / "explanations"
    folder.mkdir()
    for layer, latent, text in ((hookpoint, live[0], "Fires on red."), ("layers.3", live[1], "Of another layer.")):
        (folder / f"{layer}_latent{latent}.txt").write_text(json.dumps(text))
    bare = run("labels", "import", tmp_path)
    assert bare.code == 2
    assert "--dictionary NAME" in bare.err
    for taken in (1, 0):
        done = run("labels", "import", tmp_path, "--dictionary", NAME)
        assert done.code == 0, done.err
        assert done.out == (f"{NAME}: 1 labels taken, of delphi\n" if taken else ""), done.err
    assert not human(query, workspace)
    # A new run of the tool is the same labeler's new word.
    (folder / f"{hookpoint}_latent{live[0]}.txt").write_text(json.dumps("Fires on circles."))
    assert run("labels", "import", tmp_path, "--dictionary", NAME).code == 0
    said = {one["labeler"]: one["name"] for one in shown(run, live[0])["labels"]}
    assert said["delphi"] == "Fires on circles"
    assert len(said) == 2
    elsewhere = tmp_path / "other"
    elsewhere.mkdir()
    for layer in ("layers.3", "layers.4"):
        (elsewhere / f"{layer}_latent1.txt").write_text('"x"')
    done = run("labels", "import", elsewhere, "--dictionary", NAME)
    assert done.code == 2
    assert "layers.3, layers.4" in done.err
