"""Several dictionaries from one generation pass, atoms with their sources, and activations kept on disk."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from autointerp.dictionaries.storage import load_dictionary

KINDS = ("topk", "batchtopk", "jumprelu", "itda", "neurons", "pca", "random")
Cli = Callable[..., Any]
Query = Callable[..., list[Any]]


def weights(workspace: Path) -> dict[str, str]:
    """Digest of each dictionary's weights."""
    found = {}
    for path in sorted((workspace / "dictionaries").glob("*/cfg.json")):
        found[path.parent.name] = json.loads(path.read_text())["weights_sha256"]
    return found


@pytest.fixture(scope="module")
def fitted_kinds(labeled: Path, tmp_path_factory: pytest.TempPathFactory, cli: Cli) -> tuple[Path, Path]:
    """All kinds at two layers from one pass, with the activations kept: (workspace, cache)."""
    path = tmp_path_factory.mktemp("fits")
    workspace, cache = path / "w", path / "cache"
    workspace.mkdir()
    (workspace / "autointerp.toml").write_text((labeled / "autointerp.toml").read_text())
    asked = [option for kind in KINDS for option in ("--kind", kind)]
    done = cli("-w", workspace, "fit", "--layer", "mid", "--layer", "late", *asked, "--cache-activations", cache)
    assert done.code == 0, done.err
    assert [line.split(":")[0] for line in done.out.splitlines()] == [
        f"shapes-turbo.{layer}.{kind}" for layer in ("mid", "late") for kind in KINDS
    ]
    return workspace, cache


@pytest.mark.parametrize("kind", KINDS)
def test_together_they_are_what_they_are_alone(
    kind: str, fitted_kinds: tuple[Path, Path], labeled: Path, tmp_path: Path, cli: Cli
) -> None:
    if kind == "topk":
        assert weights(fitted_kinds[0])["shapes-turbo.mid.topk"] == weights(labeled)["shapes-turbo.mid.topk"]
        return
    (tmp_path / "autointerp.toml").write_text((labeled / "autointerp.toml").read_text())
    # From the cache: what is generated and what was kept are one.
    alone = cli("-w", tmp_path, "fit", "--layer", "mid", "--kind", kind, "--cache-activations", fitted_kinds[1])
    assert alone.code == 0
    assert "loading" not in alone.err.replace("loading shapes-turbo", "", 1)
    assert weights(tmp_path) == {f"shapes-turbo.mid.{kind}": weights(fitted_kinds[0])[f"shapes-turbo.mid.{kind}"]}


def test_figures_are_those_of_the_stored_dictionary(fitted_kinds: tuple[Path, Path], query: Query) -> None:
    from autointerp.project.context import Context
    from autointerp.project.workspace import WorkspaceFolder
    from autointerp.stages.fit.activations import generate_rounds
    from autointerp.stages.fit.training import measure

    ctx = Context(WorkspaceFolder(fitted_kinds[0]))
    for name in ("shapes-turbo.mid.jumprelu", "shapes-turbo.late.neurons"):
        row = ctx.dictionary_named(name)
        layer = ctx.layer_of(row)
        held_out = generate_rounds(ctx, [layer], ctx.prompts.jobs(12, 13, 0), row.steps)[layer]
        dictionary = load_dictionary(fitted_kinds[0] / "dictionaries" / name)
        figures = measure(dictionary, held_out).figures()
        stored = {key: row.figures[key] for key in figures}
        assert stored == pytest.approx(figures, rel=1e-4)
        assert row.fvu == stored["fvu"]
        assert row.figures["fit_seconds"] >= 0


def test_neurons_read_the_hidden_units(fitted_kinds: tuple[Path, Path], query: Query) -> None:
    rows = query(
        fitted_kinds[0], "SELECT layer, hookpoint, signal, d_in, num_latents FROM dictionaries WHERE kind = 'neurons'"
    )
    assert sorted(rows) == [
        ("late", "transformer.single_transformer_blocks.2.act_mlp", "output", 768, 768),
        ("mid", "transformer.transformer_blocks.1.ff.net.0", "output", 768, 768),
    ]


def test_atoms_are_activations_of_their_source(fitted_kinds: tuple[Path, Path], cli: Cli, query: Query) -> None:
    from autointerp.project.context import Context
    from autointerp.project.workspace import WorkspaceFolder
    from autointerp.stages.fit.activations import generate_rounds

    ctx = Context(WorkspaceFolder(fitted_kinds[0]))
    dictionary: Any = load_dictionary(fitted_kinds[0] / "dictionaries" / "shapes-turbo.mid.itda")
    layer = ctx.layer("mid")
    jobs = {(job.prompt, job.seed): job for job in ctx.prompts.jobs(0, 12, 0)}
    prompt, seed, step, row, col = dictionary.sources.of(7)
    acts = generate_rounds(ctx, [layer], [jobs[prompt, seed]], [step])[layer].acts[row * 12 + col]
    normal = torch.nn.functional.normalize(dictionary.normalization.apply(acts[None]), dim=1)[0]
    assert torch.allclose(normal, dictionary.atoms[7], atol=1e-3)

    done = cli("-w", fitted_kinds[0], "harvest", "--layer", "mid", "--dictionary", "shapes-turbo.mid.itda")
    assert done.code == 0, done.err
    found = query(
        fitted_kinds[0],
        "SELECT atom_prompt, atom_seed, atom_step, atom_row, atom_col FROM features ORDER BY latent_index",
    )
    assert found == [tuple(source) for source in dictionary.sources.all()]

    shown = cli("-w", fitted_kinds[0], "show", "shapes-turbo.mid.itda:7", "--crops", fitted_kinds[0] / "crops")
    assert shown.code == 0
    assert f"seed {seed}: {prompt}" in shown.out
    said = json.loads(cli("-w", fitted_kinds[0], "show", "shapes-turbo.mid.itda:7", "--json").out)["atom"]
    assert said == {"prompt": prompt, "seed": seed, "step": step, "cell": [row, col], "token": None}
    with Image.open(fitted_kinds[0] / "crops" / "7-atom.png") as picture:
        assert picture.size == (224, 224)
        assert len(picture.convert("RGB").getcolors(60_000) or []) > 10


def test_compare_knows_shared_atoms_and_directions(fitted_kinds: tuple[Path, Path], cli: Cli) -> None:
    same = json.loads(
        cli("-w", fitted_kinds[0], "compare", "shapes-turbo.mid.itda", "shapes-turbo.mid.itda", "--json").out
    )
    assert same["jaccard"] == 1
    assert same["mean_cosine"] == pytest.approx([1, 1])
    assert same["mutual"] == 64
    other = json.loads(
        cli("-w", fitted_kinds[0], "compare", "shapes-turbo.mid.topk", "shapes-turbo.mid.random", "--json").out
    )
    assert other["jaccard"] is None
    assert 0 < other["mean_cosine"][0] < 0.9
    assert len(other["pairs"]) == 10
    shown = cli("-w", fitted_kinds[0], "compare", "shapes-turbo.mid.topk", "shapes-turbo.mid.pca")
    assert shown.code == 0
    assert "no atoms" in shown.out
    refused = cli("-w", fitted_kinds[0], "compare", "shapes-turbo.mid.topk", "shapes-turbo.mid.neurons")
    assert refused.code == 2
    assert "192 dimensions" in refused.err
    missing = cli("-w", fitted_kinds[0], "compare", "shapes-turbo.mid.topk", "shapes-turbo.mid.tpk")
    assert missing.code == 2
    assert "did you mean" in missing.err


def test_a_full_cache_generates_nothing(
    fitted_kinds: tuple[Path, Path], labeled: Path, tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    from autointerp.diffusion import generation

    def never(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("an image is generated")

    (tmp_path / "autointerp.toml").write_text((labeled / "autointerp.toml").read_text())
    monkeypatch.setattr(generation, "generate", never)
    done = cli("-w", tmp_path, "fit", "--layer", "late", "-k", "5", "--cache-activations", fitted_kinds[1])
    assert done.code == 0
    assert "shapes-turbo.late.topk" in done.out
    assert "keeping 0.00 GB" in done.err


def test_a_cache_of_something_else_and_a_small_budget_are_refused_first(
    fitted_kinds: tuple[Path, Path], labeled: Path, tmp_path: Path, cli: Cli
) -> None:
    settings = (labeled / "autointerp.toml").read_text()
    (tmp_path / "autointerp.toml").write_text(settings.replace("steps = 2", "seed = 5\nsteps = 2", 1))
    fit = ("-w", tmp_path, "fit", "--layer", "mid", "--cache-activations")
    other = cli(*fit, fitted_kinds[1])
    assert other.code == 2
    assert "something else (seed differ)" in other.err
    small = cli(*fit, tmp_path / "new", "--cache-budget", "0.0005")
    assert small.code == 2
    assert "GB allowed" in small.err
    assert not (tmp_path / "new").exists()
    assert not list((tmp_path / "dictionaries").glob("*/cfg.json"))


def test_a_damaged_cache_is_one_line(fitted_kinds: tuple[Path, Path], labeled: Path, tmp_path: Path, cli: Cli) -> None:
    import shutil

    cache = Path(shutil.copytree(fitted_kinds[1], tmp_path / "cache"))
    (tmp_path / "autointerp.toml").write_text((labeled / "autointerp.toml").read_text())
    hurt = sorted((cache / "transformer.transformer_blocks.1.update").glob("*.safetensors"))[1]
    hurt.write_bytes(hurt.read_bytes()[:1000])
    done = cli("-w", tmp_path, "fit", "--layer", "mid", "--kind", "itda", "--cache-activations", cache)
    assert done.code == 1
    assert "is damaged: delete it" in done.err
    assert len(done.err.strip().splitlines()[-1]) < 300
    hurt.unlink()
    again = cli("-w", tmp_path, "fit", "--layer", "mid", "--kind", "itda", "--cache-activations", cache)
    assert again.code == 0
    assert weights(tmp_path)["shapes-turbo.mid.itda"] == weights(fitted_kinds[0])["shapes-turbo.mid.itda"]


def test_wrong_requests_say_what_there_is(fitted_kinds: tuple[Path, Path], cli: Cli) -> None:
    unknown = cli("-w", fitted_kinds[0], "fit", "--layer", "mid", "--kind", "batchtop")
    assert unknown.code == 2
    assert "did you mean 'batchtopk'" in unknown.err
    named = cli(
        "-w", fitted_kinds[0], "fit", "--layer", "mid", "--kind", "pca", "--kind", "itda", "--name", "x", "-k", "3"
    )
    assert named.code == 2
    assert "one dictionary only" in named.err
    elsewhere = cli("-w", fitted_kinds[0], "harvest", "--layer", "mid", "--dictionary", "shapes-turbo.late.topk")
    assert elsewhere.code == 2
    assert "belongs to layer late" in elsewhere.err


def test_several_are_harvested_and_evaluated_in_one_pass(
    fitted_kinds: tuple[Path, Path], workspace: Path, tmp_path: Path, cli: Cli, query: Query, databases: Any
) -> None:
    both = databases.copy(fitted_kinds[0], tmp_path / "both")
    asked = [
        "--dictionary",
        "shapes-turbo.mid.topk",
        "--dictionary",
        "shapes-turbo.late.pca",
        "--dictionary",
        "shapes-turbo.mid.neurons",
    ]
    done = cli("-w", both, "harvest", "--layer", "mid", "--layer", "late", *asked)
    assert done.code == 0
    assert len(done.out.splitlines()) == 3
    crops = (
        "SELECT latent_index, image_index, row, col, activation, rank, role, split FROM crops"
        " JOIN features ON features.id = feature_id JOIN images ON images.id = image_id"
        " JOIN dictionaries d ON d.id = dictionary_id WHERE d.name = 'shapes-turbo.mid.topk' ORDER BY 1, 2"
    )
    assert query(both, crops) == query(workspace, crops)
    found = cli("-w", both, "evaluate", "--layer", "mid", "--layer", "late", *asked, "--json")
    results = json.loads(found.out)
    assert [one["dictionary"] for one in results] == [
        "shapes-turbo.mid.topk",
        "shapes-turbo.late.pca",
        "shapes-turbo.mid.neurons",
    ]
    for one in results:
        error, change = one["denoising_error"], one["image_change"]
        assert len(set(error.values())) == 3
        assert 0 < change["spliced"] < 1
        assert 0 < change["zeroed"] < 1
        # Of two steps little can be asked: zeroing a block may even help.
        lost = error["zeroed"] - error["unchanged"]
        if lost > 0:
            assert one["loss_recovered"] == pytest.approx((error["zeroed"] - error["spliced"]) / lost, rel=0.05)
        else:
            assert one["loss_recovered"] is None
        assert one["fvu"] > 0
        assert one["controls"]["random"]["specific"] >= 0
    alone = json.loads(cli("-w", workspace, "evaluate", "--layer", "mid", "--json").out)
    for key in ("grounded", "specific", "fvu", "r2_mean", "loss_recovered", "controls"):
        if key != "controls":
            assert alone[key] == pytest.approx(results[0][key], rel=1e-3, abs=1e-4), key
    status = json.loads(cli("-w", both, "status", "--json").out)
    figures = {row["dictionary"]: row["figures"] for row in status["dictionaries"]}
    assert figures["shapes-turbo.late.pca"]["r2_mean"] == results[1]["r2_mean"]
    assert figures["shapes-turbo.late.pca"].get("loss_recovered") == results[1]["loss_recovered"]
    assert "loss_recovered" not in figures["shapes-turbo.mid.random"]
