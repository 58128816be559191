"""The benchmarks run, and compare what is comparable."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def test_interval_of_the_median():
    from benchmarks.pairs import Row, median_interval

    assert median_interval([3.0, 1.0, 2.0]) == (1.0, 3.0, 0.75)
    low, high, coverage = median_interval([float(i) for i in range(6)])
    assert (low, high) == (0.0, 5.0)
    assert coverage == pytest.approx(1 - 2 / 64)
    # A table of the sign test: for n = 15 the 4th and the 12th value, 96.5%.
    low, high, coverage = median_interval([float(i) for i in range(1, 16)])
    assert (low, high) == (4.0, 12.0)
    assert coverage == pytest.approx(0.965, abs=1e-3)
    assert median_interval([2.0]) == (2.0, 2.0, 0.0)
    row = Row.of("b", "f", "s", [2.0, 4.0, 9.0], [1.0, 2.0, 3.0])
    assert (row.ratio, row.low, row.high, row.ours, row.other) == (2.0, 2.0, 3.0, 4.0, 2.0)


def test_turns_are_taken():
    from benchmarks.pairs import interleave

    seen = []
    interleave(3, lambda: seen.append("a") or {}, lambda: seen.append("b") or {})
    assert "".join(seen) == "abbaab"


def test_both_collectors_keep_the_same_crops():
    from benchmarks.collector import Stored, Streamed, codes

    streamed, stored = Streamed(), Stored()
    for numbers, code in codes(64):
        streamed.update(numbers, code)
        stored.update(numbers, code)
    ours, other = streamed.finish(), stored.finish()
    assert len(ours) > 10_000
    assert sorted(ours) == sorted(other)


def test_the_command_prints_a_row_each():
    command = [sys.executable, "-m", "benchmarks", "--quick", "--json", "startup", "collector"]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    rows = json.loads(done.stdout)
    assert [(row["benchmark"], row["pairs"]) for row in rows] == [("startup", 2), ("collector", 1), ("collector", 1)]
    assert done.stderr.splitlines() == ["startup ...", "collector ..."]


def test_memory_of_a_full_size_model():
    from benchmarks.memory import parts_of, peaks_of, tables

    parts = list(parts_of(["sd-1.5"]))
    counted = {part.component: part.parameters for part in parts}
    assert counted == {"unet": 859_520_964, "vae": 83_653_863, "text_encoder": 123_060_480}  # as published
    whole = 2 * sum(counted.values())
    plain, int8, nf4 = peaks_of(parts)
    assert (plain.none, plain.offload, plain.largest) == (whole, 2 * counted["unet"], "unet")
    assert nf4.offload < int8.offload < plain.offload
    assert whole - int8.none == plain.offload - int8.offload
    assert "| sd-1.5 | vae | 83.7 M | 0.33 GB | 0.17 GB | - | - |" in tables(parts)


@pytest.mark.parametrize(
    ("name", "millions"),
    [
        ("flux.2-klein-4b", {"transformer": 3876, "vae": 84, "text_encoder": 4022}),
        ("z-image-turbo", {"transformer": 6155, "vae": 84, "text_encoder": 4022}),
        ("qwen-image", {"transformer": 20430, "vae": 127, "text_encoder": 8292}),
        ("qwen-image-2.1", {"transformer": 7115, "vae": 338, "text_encoder": 8767}),
        ("krea-2", {"transformer": 12820, "vae": 127, "text_encoder": 4438}),
        ("sana-sprint-1.6b", {"transformer": 1610, "vae": 312, "text_encoder": 2614}),
        ("ernie-image", {"transformer": 8033, "vae": 84, "text_encoder": 3849}),
        ("sana-1.6b", {"transformer": 1604, "vae": 312, "text_encoder": 2614}),
    ],
)
def test_parameters_of_newer_models(name, millions):
    from benchmarks.memory import parts_of

    assert {part.component: round(part.parameters / 1e6) for part in parts_of([name])} == millions


@pytest.mark.parametrize(("dtype", "library"), [("int8", "torchao"), ("nf4", "bitsandbytes")])
def test_quantized_weights_take_what_is_counted(dtype, library):
    import torch

    pytest.importorskip(library, reason="the extra 'quantized' is not installed")
    from benchmarks.memory import Part

    module = torch.nn.Linear(256, 128, dtype=torch.bfloat16)
    counted = Part.of("m", "unet", module).bytes(dtype)
    if dtype == "int8":
        from torchao.quantization import Int8WeightOnlyConfig, quantize_

        quantize_(module, Int8WeightOnlyConfig())
        parts = [module.weight.qdata, module.weight.scale]
    else:
        from bitsandbytes.nn import Params4bit

        weight = Params4bit(module.weight.data, quant_type="nf4", compress_statistics=False).to("cpu")
        parts = [weight.data, weight.quant_state.absmax]
    assert sum(p.numel() * p.element_size() for p in [*parts, module.bias]) == counted


def test_capture_benchmark_runs_at_any_size_and_on_any_device():
    import torch

    from autointerp.diffusion.families.flux import FLUX
    from autointerp.diffusion.families.unet import SDXL
    from benchmarks import capture, pipelines

    def flux():
        sizes = {"in_channels": 16, "num_layers": 2, "num_single_layers": 2, "num_attention_heads": 2}
        narrow = {"attention_head_dim": 16, "axes_dims_rope": (4, 6, 6)}
        return pipelines.flux((8,) * 4, **sizes, **narrow, joint_attention_dim=32, pooled_projection_dim=16)

    def sdxl():
        sizes = {"sample_size": 8, "block_out_channels": (32, 32, 64), "transformer_layers_per_block": (1, 1, 2)}
        narrow = {"attention_head_dim": (1, 2, 4), "addition_time_embed_dim": 8}
        return pipelines.sdxl((8,) * 4, (16, 32), **sizes, **narrow, projection_class_embeddings_input_dim=6 * 8 + 32)

    for family, build, tokens in ((FLUX, flux, 16), (SDXL, sdxl, 4)):
        model = capture.random_model(family, build, "cpu", torch.bfloat16)
        assert model.denoiser.dtype == torch.bfloat16
        row = capture.encoded("tiny", model, {"size": 64, "steps": 2}, latents=96, k=4, pairs=2)
        assert row.pairs == 2
        assert row.figure == f"tiny, 64 px, 2 steps, {tokens} tokens, 96 latents: encode / bare"


def test_steering_is_judged_by_what_a_label_says():
    from benchmarks.steer import line, prompts_for, said_concept

    assert [c and c.name for c in map(said_concept, ("night, top right", "pink striped", "edge", "left"))] == [
        "night",
        "pink striped",
        None,
        None,
    ]
    prompts = ["small red star, night background", "blue ring, checkered background", "red striped cross"]
    assert prompts_for(said_concept("red"), prompts, True, 5) == (prompts[0], prompts[2])
    assert prompts_for(said_concept("red"), prompts, False, 5) == (prompts[1],)
    assert prompts_for(said_concept("red striped"), prompts, True, 5) == (prompts[2],)
    up = line(4.0, [[(0.0, 0.4, 0.0), (0.0, 0.2, 0.1)], [(0.0, 0.0, 0.0)]])
    assert (up.cases, up.right, up.right_random) == (3, pytest.approx(2 / 3), pytest.approx(1 / 3))
    assert up.more == pytest.approx((0.25 + 0) / 2)
    assert up.low < up.more < up.high
    down = line(-4.0, [[(0.5, 0.1, 0.5), (0.0, 0.0, 0.0)], [(0.0, 0.3, 0.0)]])
    assert (down.cases, down.right, down.more) == (1, 1.0, pytest.approx(0.4))


def test_activations_are_directions_that_are_read_like_a_dictionary():
    from dataclasses import asdict

    import torch

    from benchmarks.few_steps import Figure, directions_of, read_figure, table

    acts = torch.randn(50, 6, generator=torch.Generator().manual_seed(0)) * 3 + 1
    dictionary = directions_of(acts, 8, 2, seed=1)
    assert (dictionary.num_latents, dictionary.k, dictionary.d_in) == (8, 2, 6)
    chosen = torch.randperm(50, generator=torch.Generator().manual_seed(1))[:8]
    code = dictionary.encode(acts[chosen])
    assert (code.latent_indices[:, 0] == torch.arange(8)).all()  # Each is nearest to itself.
    figure = Figure("shapes", 8, 2.5, "mid", "update", 7, (0.3, 0.4), (0.1, 0.1))
    assert read_figure({**asdict(figure), "specific": [0.3, 0.4]}) == figure
    assert table([figure]).splitlines()[2].endswith("| 35.0% (7.1) | 10.0% (0.0) | 25.0% (7.1) |")


@pytest.mark.slow
def test_harvest_benchmark_runs():
    from benchmarks import harvest

    rows = harvest.run(quick=True)
    assert [row.figure.partition(":")[0] for row in rows] == ["whole, 4 images", *harvest.PARTS]


def test_growth_runs():
    from benchmarks import growth

    grown = growth.run(quick=True)
    assert [row.figure.partition(",")[0] for row in grown] == [
        "peak memory", "time an image", "peak memory", "time an image", "database", "pictures kept",
    ]  # fmt: skip
    assert [(row.pairs, row.unit) for row in grown] == [(1, unit) for unit in ("MB", "ms", "MB", "ms", "MB", "")]
    # No run keeps more pictures than it made.
    assert 0 < grown[-1].other <= growth.QUICK_GENERATED[1] < grown[-1].ours <= growth.QUICK_GENERATED[0]


def test_the_merge_of_shards_sees_crops_that_are_missing(monkeypatch):
    from autointerp.crops.collect import CropCollector
    from benchmarks import shards

    shards.merged(64)
    monkeypatch.setattr(CropCollector, "merge", lambda self, other: None)
    with pytest.raises(RuntimeError, match="crops are missing"):
        shards.merged(64)


@pytest.mark.slow
def test_labeling_by_a_server_runs():
    from benchmarks import vlm

    rows = {row.figure: row for row in vlm.run(quick=True)}
    assert [figure.partition(":")[0] for figure in rows if "processor time" in figure] == [
        "reading", "cutting and marking", "encoding", "client",
    ]  # fmt: skip
    # The ideal is worked out by hand: 60 features in two rounds of 32 requests take 0.4 seconds.
    assert rows["60 features, 0.2 s a request, -j 32: rate / ideal rate"].other == pytest.approx(60 / 0.4)
    assert rows["no latency: rate / ideal rate at 2 s"].other == 16


@pytest.mark.slow
def test_the_embedded_vlm_names_and_judges():
    from benchmarks import shapes_vlm

    rows = shapes_vlm.run(quick=True)
    assert [row.other for row in rows] == [5, 0.4, 10, 0.2, 10, 0.2]
    # What is done in a second by two cores takes no more than two seconds of a processor.
    for rate, taken in (rows[:2], rows[2:4], rows[4:]):
        assert 0 < taken.ours * rate.ours < 2.5


@pytest.mark.slow
def test_local_vlms_run_and_a_wrong_answer_ends_them(monkeypatch):
    from benchmarks import local_vlm

    rows = local_vlm.run(quick=True)
    assert [row.figure.partition(",")[0] for row in rows] == ["LLaVA"] * 3 + ["Idefics3"] * 3
    monkeypatch.setattr(local_vlm, "plain_verdicts", lambda vlm, requests: ["maybe"] * len(requests))
    with pytest.raises(RuntimeError, match="LLaVA, verdicts.*the answers differ"):
        local_vlm.run(quick=True)


def test_truth_over_seeds_thresholds_and_pictures():
    import numpy as np

    from autointerp.shapes.concepts import concept_masks
    from autointerp.shapes.scenes import ATTRIBUTES, render, sample_scene
    from autointerp.shapes.verdict import Firing
    from benchmarks.truth import SHARES, figures_of, tables

    rng = np.random.default_rng(0)
    seen = [render(sample_scene(rng)).cells() for _ in range(200)]
    cells = {name: np.stack([one[name] for one in seen]) for name in ATTRIBUTES}
    concepts, masks = concept_masks(cells)
    red = np.flatnonzero(next(m for c, m in zip(concepts, masks, strict=True) if c.name == "red"))
    noise = np.flatnonzero(rng.random(masks[0].size) < 0.02)
    # One feature of red, weakly active anywhere; one of nothing.
    feature = np.repeat([0, 0, 1], [len(red), len(noise), len(noise)])
    act = np.repeat([1.0, 0.2, 1.0], [len(red), len(noise), len(noise)]).astype(np.float32)
    own = Firing(2, feature, np.concatenate([red, noise, noise]), act, np.ones(2, np.float32))
    control = Firing(1, np.zeros(len(noise), int), noise, np.ones(len(noise), np.float32), np.ones(1, np.float32))
    found = figures_of({"own": own, "activations": control}, cells, 0)
    assert found["curve"]["own"] == [0.0 if share < 0.2 else 0.5 for share in SHARES]
    assert set(found["curve"]["activations"]) == {0.0}
    assert list(found["repeats"]) == ["200", "100"]
    assert found["repeats"]["200"]["exact_specific"] == 1.0
    text = tables([found, {**found, "seed": 1}])
    assert "| 1 | 50.0% | 0.0% | 50.0% |" in text
    assert "| 100 | 100.0% (0.0) |" in text


def test_parts_of_a_demo(tmp_path: Path):
    """Parts come in their order, each from its first line on; what is printed at the end is no part."""
    from benchmarks.demo_parts import part_of, table, watch

    assert part_of("  1. harvest            500 images (about 0:24)") is None
    assert part_of("[2/7] harvest: 500 images, about 0:24; 1:58 left in all") == "harvest"
    assert part_of("measuring shapes-turbo.mid.topk: 18/18 image") == "fit"
    said = ("install", "[1/7] fit: 350 images", "harvest x  1/2", "label x", "evaluate x", "label accuracy 60%")
    script = "import time\nhold = b'x' * 200_000_000\n" + "".join(
        f"print({line!r}, flush=True)\ntime.sleep(0.3)\n" for line in said
    )
    (tmp_path / "demo.py").write_text(script)
    found, failed = watch([sys.executable, "demo.py"], tmp_path)
    assert not failed
    assert list(found) == ["install", "fit", "harvest", "names", "evaluate"]
    assert found["evaluate"].seconds > found["fit"].seconds > 0.1
    assert found["harvest"].memory > 2e8
    (tmp_path / "demo.py").write_text("print('fit x', flush=True)\nraise SystemExit('no disk')\n")
    old, failed = watch([sys.executable, "demo.py"], tmp_path)
    assert (list(old), failed) == (["install", "fit"], "no disk")
    rows = table({"old": old, "new": found}).splitlines()
    assert rows[0] == "| part | old: time | memory | new: time | memory |"
    assert len({row.count("|") for row in rows}) == 1
