"""One dictionary in a place is taken, several are named, and whatever is passed over is said."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from autointerp.dictionaries.formats.detect import read_format
from autointerp.dictionaries.formats.source import Source
from autointerp.errors import AutointerpError, UsageError

D, N, K = 6, 20, 4


def learned(seed: int = 0) -> dict[str, torch.Tensor]:
    """The tensors of dictionary_learning's top-k."""
    draw = torch.Generator().manual_seed(seed)
    shapes = {"encoder.weight": (N, D), "encoder.bias": (N,), "decoder.weight": (D, N), "b_dec": (D,)}
    return {**{k: torch.randn(shape, generator=draw) for k, shape in shapes.items()}, "k": torch.tensor(K)}


def run(folder: Path, dict_class: str | None = "AutoEncoderTopK", **trainer: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    said = {"activation_dim": D, "dict_size": N, "k": K, **trainer}
    said |= {} if dict_class is None else {"dict_class": dict_class}
    (folder / "config.json").write_text(json.dumps({"trainer": said, "buffer": {"io": "out"}}))
    return folder


def sparsify(folder: Path, prefix: str = "", seed: int = 0, **config: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    own = learned(seed)
    tensors = {"encoder.weight": own["encoder.weight"], "encoder.bias": own["encoder.bias"], "b_dec": own["b_dec"]}
    tensors["W_dec"] = own["decoder.weight"].T.contiguous()
    save_file({prefix + name: tensor for name, tensor in tensors.items()}, folder / "sae.safetensors")
    said = {"k": K, "d_in": D, "num_latents": N, "activation": "topk", **config}
    (folder / "cfg.json").write_text(json.dumps(said))
    return folder


def jumprelu(folder: Path) -> Path:
    """The tensors that SAELens and dictionary_learning write alike, without a configuration."""
    folder.mkdir(parents=True, exist_ok=True)
    own = learned()
    tensors = {"W_enc": own["encoder.weight"].T, "b_enc": own["encoder.bias"], "W_dec": own["decoder.weight"].T}
    tensors |= {"b_dec": own["b_dec"], "threshold": torch.rand(N)}
    save_file({k: v.contiguous() for k, v in tensors.items()}, folder / "sae_weights.safetensors")
    return folder


SAELENS = {
    "d_in": D,
    "d_sae": N,
    "architecture": "jumprelu",
    "apply_b_dec_to_input": True,
    "normalize_activations": "none",
    "metadata": {"sae_lens_version": "6.12.0"},
}


def encoder_of(source: Source) -> torch.Tensor:
    return read_format(source)[1].dictionary.W_enc.T  # type: ignore[attr-defined]


# Several


def test_checkpoints_in_one_folder_are_named(tmp_path: Path) -> None:
    """The first of them is the untrained one."""
    places = run(tmp_path / "trainer_0") / "checkpoints"
    places.mkdir()
    for step in (0, 1000, 20000):
        torch.save(learned(step), places / f"ae_{step}.pt")
    with pytest.raises(UsageError) as caught:
        read_format(Source(places))
    assert "holds 3 dictionaries: ae_0.pt, ae_1000.pt, ae_20000.pt" in caught.value.message
    assert str(places / "ae_20000.pt") in caught.value.hint
    torch.testing.assert_close(encoder_of(Source(places / "ae_1000.pt")), learned(1000)["encoder.weight"])
    torch.save(learned(9), tmp_path / "trainer_0" / "ae.pt")
    with pytest.raises(UsageError, match="trainer_0, trainer_0/checkpoints"):
        read_format(Source(tmp_path))
    notes = read_format(Source(tmp_path / "trainer_0"))[1].notes
    assert notes == ("the weights below, in checkpoints, are left out",)


def test_parts_of_one_file_are_named_and_taken_by_name(tmp_path: Path) -> None:
    run(tmp_path)
    torch.save({"model": learned(1), "ema_model": learned(2), "step": 7}, tmp_path / "ckpt.pt")
    with pytest.raises(UsageError) as caught:
        read_format(Source(tmp_path))
    assert "ckpt.pt#ema_model, ckpt.pt#model" in caught.value.message
    assert f"{tmp_path / 'ckpt.pt'}#model" in caught.value.hint
    for place in (tmp_path, tmp_path / "ckpt.pt"):
        source = Source(place, "ema_model")
        torch.testing.assert_close(encoder_of(source), learned(2)["encoder.weight"])
        assert set(source.hashes()) == {"ckpt.pt#ema_model", "config.json"}
    with pytest.raises(UsageError, match=r"no part 'ema': did you mean 'ema_model'\? known: model, ema_model"):
        read_format(Source(tmp_path, "ema"))


def test_the_same_twice_is_one(tmp_path: Path) -> None:
    run(tmp_path)
    torch.save(learned(), tmp_path / "ae.pt")
    save_file(learned(), tmp_path / "ae.safetensors")
    source = Source(tmp_path)
    assert "ae.safetensors is taken; ae.pt holds the same" in read_format(source)[1].notes
    assert set(source.hashes()) == {"ae.safetensors", "config.json"}


def test_two_matrices_of_atoms_are_several(tmp_path: Path) -> None:
    for name in ("atoms", "atoms_100"):
        torch.save(torch.nn.functional.normalize(torch.randn(N, D), dim=1), tmp_path / f"{name}.pt")
    torch.save(torch.zeros(N, 2, dtype=torch.int64), tmp_path / "atom_indices.pt")
    with pytest.raises(UsageError, match=r"atoms\.pt, atoms_100\.pt"):
        read_format(Source(tmp_path), k=2)


# State of a training


def test_a_dictionary_below_what_is_none(tmp_path: Path) -> None:
    sparsify(tmp_path / "transformer.transformer_blocks.1")
    torch.save({"state": {0: {"exp_avg": torch.ones(3)}}}, tmp_path / "optimizer.pt")
    found = read_format(Source(tmp_path))[1]
    assert found.hookpoint == "transformer.transformer_blocks.1"
    assert any("optimizer.pt" in note for note in found.notes)
    torch.save({"ema_decay": torch.ones(3)}, tmp_path / "figures.pt")  # No name that is known.
    for form in ("auto", "sparsify"):
        found = read_format(Source(tmp_path), form)[1]
        assert found.hookpoint == "transformer.transformer_blocks.1"
        assert any("figures.pt" in note for note in found.notes)
    sparsify(tmp_path / "transformer.transformer_blocks.2")
    with pytest.raises(UsageError, match=r"transformer\.transformer_blocks\.1, transformer\.transformer_blocks\.2"):
        read_format(Source(tmp_path))


def test_files_that_are_passed_over_are_said(tmp_path: Path) -> None:
    sparsify(tmp_path)
    torch.save(torch.nn.Linear(2, 3), tmp_path / "probe.pt")
    (tmp_path / "results.json").write_text("{")
    notes = read_format(Source(tmp_path))[1].notes
    assert "probe.pt is left alone, as it cannot be opened" in notes
    assert "results.json is left alone, as it cannot be read" in notes


# Wrappers


@pytest.mark.parametrize("prefix", ["_orig_mod.", "module.", "module._orig_mod.", "sae."])
def test_words_before_every_name(tmp_path: Path, prefix: str) -> None:
    name, found = read_format(Source(sparsify(tmp_path, prefix)))
    assert name == "sparsify"
    assert any(prefix.split(".")[0] in note for note in found.notes)
    torch.testing.assert_close(found.dictionary.directions, learned()["decoder.weight"].T)


@pytest.mark.parametrize("key", ["state_dict", "model", "model_state_dict"])
def test_a_mapping_around_the_weights(tmp_path: Path, key: str) -> None:
    run(tmp_path)
    torch.save({key: learned(), "optimizer": {"state": {}}, "epoch": 3}, tmp_path / "ckpt.pt")
    assert f"ckpt.pt: its {key!r} is taken" in read_format(Source(tmp_path))[1].notes


# Configurations


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_an_encoding_changes_nothing(tmp_path: Path, encoding: str) -> None:
    (jumprelu(tmp_path) / "cfg.json").write_text(json.dumps(SAELENS), encoding=encoding)
    name, found = read_format(Source(tmp_path))
    assert (name, found.dictionary.kind, found.notes) == ("saelens", "jumprelu", ())


@pytest.mark.parametrize(
    "content", ['{"d_in": 6, "d_sa', "", "[1]", '"cfg"', "version https://git-lfs.github.com/spec"]
)
@pytest.mark.parametrize("make", [jumprelu, sparsify])
def test_a_configuration_that_cannot_be_read_is_named(
    tmp_path: Path, make: Callable[[Path], Path], content: str
) -> None:
    make(tmp_path)
    (tmp_path / "cfg.json").write_text(content)
    for form in ("auto", "dictionary-learning" if make is jumprelu else "sparsify"):
        with pytest.raises(
            AutointerpError, match=r"cfg\.json (cannot be read|holds no JSON object|is a git LFS pointer)"
        ):
            read_format(Source(tmp_path), form, k=3)


def test_a_scale_that_cannot_be_read_is_not_left_out(tmp_path: Path) -> None:
    said = {**SAELENS, "normalize_activations": "expected_average_only_in"}
    (jumprelu(tmp_path) / "cfg.json").write_text(json.dumps(said))
    assert any("no scale is there" in note for note in read_format(Source(tmp_path))[1].notes)
    (tmp_path / "activation_scaler.json").write_text('{"scaling_fac')
    with pytest.raises(AutointerpError, match=r"activation_scaler\.json cannot be read"):
        read_format(Source(tmp_path))
    for value in (-1, "0.5", 0):
        (tmp_path / "activation_scaler.json").write_text(json.dumps({"scaling_factor": value}))
        with pytest.raises(AutointerpError, match="no positive number"):
            read_format(Source(tmp_path))


def test_tensors_that_two_tools_write_alike_need_their_configuration(tmp_path: Path) -> None:
    """SAELens subtracts `b_dec` before encoding, dictionary_learning does not."""
    jumprelu(tmp_path)
    with pytest.raises(AutointerpError, match="SAELens and dictionary_learning write these tensors alike"):
        read_format(Source(tmp_path))
    name, found = read_format(Source(tmp_path), "dictionary-learning")
    assert name == "dictionary-learning"
    assert any("read as JumpReluAutoEncoder" in note for note in found.notes)
    run(tmp_path, "JumpReluAutoEncoder")
    assert read_format(Source(tmp_path))[1].notes == ()


def test_an_autoencoder_without_a_word_of_its_activation(tmp_path: Path) -> None:
    tensors = {"W_enc": torch.randn(D, N), "b_enc": torch.zeros(N), "W_dec": torch.randn(N, D), "b_dec": torch.zeros(D)}
    save_file(tensors, tmp_path / "sae.safetensors")
    with pytest.raises(AutointerpError, match="no configuration says which activation"):
        read_format(Source(tmp_path))
    (tmp_path / "cfg.json").write_text(json.dumps({"kind": "topk", "num_latents": N, "weights_sha256": "4d"}))
    with pytest.raises(AutointerpError, match="a dictionary of a workspace"):
        read_format(Source(tmp_path))


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"apply_b_dec_to_input": None}, "b_dec is subtracted before encoding"),
        ({"normalize_activations": None}, "normalize_activations is not said"),
        ({"architecture": None}, "jumprelu, by the names of the tensors"),
    ],
)
def test_words_that_saelens_leaves_out_are_noted(tmp_path: Path, changed: dict[str, Any], says: str) -> None:
    said = {key: value for key, value in {**SAELENS, **changed}.items() if value is not None}
    (jumprelu(tmp_path) / "cfg.json").write_text(json.dumps(said))
    found = read_format(Source(tmp_path))[1]
    assert found.dictionary.kind == "jumprelu"
    assert any(says in note for note in found.notes)


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"apply_b_dec_to_input": "false"}, "neither true nor false"),
        ({"normalize_activations": "zscore"}, "'zscore' is not known"),
        ({"architecture": "standard"}, "says standard, but the weights hold threshold"),
        ({"architecture": "topk", "k": 3}, "says topk, but the weights hold threshold"),
        ({"architecture": "gated"}, "says gated, but the weights lack b_gate"),
        ({"architecture": "temporal"}, "a SAELens temporal cannot be imported"),
        ({"architecture": "jumprelu_skip_transcoder"}, "says jumprelu_skip_transcoder, but the weights do not fit"),
        ({"architecture": "transcoder"}, "do not fit it by threshold"),
        ({"architecture": 3}, "architecture is 3, no word"),
        ({"d_in": N, "d_sae": D}, "transposed"),
        ({"d_in": "6"}, "the configuration says otherwise"),
    ],
)
def test_words_of_saelens_that_cannot_be_meant(tmp_path: Path, changed: dict[str, Any], says: str) -> None:
    (jumprelu(tmp_path) / "cfg.json").write_text(json.dumps({**SAELENS, **changed}))
    with pytest.raises(AutointerpError, match=says):
        read_format(Source(tmp_path))


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"k": 21}, "there are 20 latents"),
        ({"k": float("nan")}, "no positive whole number"),
        ({"activation": "jumprelu"}, "the activation 'jumprelu'"),
        ({"activation": ["topk"]}, "no word"),
        ({"transcode": "yes"}, "neither true nor false"),
        ({"d_in": N, "num_latents": D}, "transposed"),
    ],
)
def test_words_of_sparsify_that_cannot_be_meant(tmp_path: Path, config: dict[str, Any], says: str) -> None:
    with pytest.raises(AutointerpError, match=says):
        read_format(Source(sparsify(tmp_path, **config)))


def test_a_sparse_coder_without_its_configuration_says_what_is_taken(tmp_path: Path) -> None:
    (sparsify(tmp_path) / "cfg.json").unlink()
    with pytest.raises(AutointerpError, match="do not say k"):
        read_format(Source(tmp_path))
    notes = read_format(Source(tmp_path), k=3)[1].notes
    assert any("no cfg.json" in note for note in notes)
    assert "k 3 is yours; the files do not say it" in notes


# Classes of dictionary_learning


def trained(folder: Path, threshold: float | None, dict_class: str | None, **trainer: Any) -> Path:
    run(folder, dict_class, **trainer)
    more = {} if threshold is None else {"threshold": torch.tensor(threshold)}
    torch.save({**learned(), **more}, folder / "ae.pt")
    return folder


OLD = "<class 'dictionary_learning.trainers.batch_top_k.BatchTopKSAE'>"


@pytest.mark.parametrize(
    ("threshold", "dict_class", "trainer_class", "kind", "says"),
    [
        (0.5, OLD, "TopKTrainer", "batchtopk", "read as BatchTopKSAE"),
        (0.5, "dictionary_learning.BatchTopKSAE", None, "batchtopk", "read as BatchTopKSAE"),
        (0.5, None, "BatchTopKTrainer", "batchtopk", "BatchTopKSAE, which BatchTopKTrainer trains"),
        (0.5, None, "TopKTrainer", "topk", "AutoEncoderTopK, which TopKTrainer trains"),
        (None, None, None, "topk", "read as AutoEncoderTopK, by the names of its tensors"),
    ],
)
def test_a_class_that_is_not_said_plainly_is_noted(
    tmp_path: Path, threshold: float | None, dict_class: str | None, trainer_class: str | None, kind: str, says: str
) -> None:
    more = {"trainer_class": trainer_class} if trainer_class else {}
    found = read_format(Source(trained(tmp_path, threshold, dict_class, **more)))[1]
    assert found.dictionary.kind == kind
    assert any(says in note for note in found.notes), found.notes


@pytest.mark.parametrize(
    ("threshold", "dict_class", "trainer", "says"),
    [
        (0.5, None, {}, "by top-k .AutoEncoderTopK. or by its threshold"),
        (0.5, None, {"trainer_class": "MyTrainer"}, "by top-k .AutoEncoderTopK. or by its threshold"),
        (0.5, "CrossCoder", {}, "dict_class 'CrossCoder' is not known"),
        (0.5, "GatedAutoEncoder", {}, "the tensors are those of AutoEncoderTopK"),
        (0.5, "AutoEncoderTopK", {"dict_size": D, "activation_dim": N}, "transposed"),
        (0.5, "AutoEncoderTopK", {"k": "four"}, ""),
    ],
)
def test_a_class_that_is_not_known_is_refused(
    tmp_path: Path, threshold: float, dict_class: str | None, trainer: dict[str, Any], says: str
) -> None:
    folder = trained(tmp_path, threshold, dict_class, **trainer)
    if not says:  # The weights hold k; the configuration's word is only compared with it.
        assert any("the configuration says four" in note for note in read_format(Source(folder))[1].notes)
        return
    with pytest.raises(AutointerpError, match=says):
        read_format(Source(folder))


def test_a_transcoder_of_dictionary_learning_is_refused(tmp_path: Path) -> None:
    trained(tmp_path, None, "AutoEncoderTopK")
    said = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**said, "buffer": {"io": "in_and_out"}}))
    with pytest.raises(AutointerpError, match="a transcoder cannot be imported"):
        read_format(Source(tmp_path))


# Other tools


def test_itda_of_flux_needs_its_configuration(tmp_path: Path) -> None:
    """Rows after the last atom are memory that was never written: without the size they would be atoms."""
    atoms = torch.nn.functional.normalize(torch.randn(16, D), dim=1)
    save_file({"xs": atoms, "ys": atoms.clone()}, tmp_path / "sae.safetensors")
    with pytest.raises(AutointerpError, match="dictionary_size"):
        read_format(Source(tmp_path), k=2)
    (tmp_path / "cfg.json").write_text('{"target_l0": 2, "dictionary_size": 10')
    with pytest.raises(AutointerpError, match=r"cfg\.json cannot be read"):
        read_format(Source(tmp_path), k=2)
    (tmp_path / "cfg.json").write_text('{"target_l0": 2, "dictionary_size": 10}')
    assert "subtract_mean is not said: no mean is subtracted" in read_format(Source(tmp_path))[1].notes


def test_itda_of_a_broken_yaml(tmp_path: Path) -> None:
    torch.save(torch.nn.functional.normalize(torch.randn(N, D), dim=1), tmp_path / "atoms.pt")
    torch.save(torch.zeros(N, 2, dtype=torch.int64), tmp_path / "atom_indices.pt")
    assert "no metadata.yaml is there" in read_format(Source(tmp_path), k=2)[1].notes
    (tmp_path / "metadata.yaml").write_text("k: [2\nlm_name: m")
    with pytest.raises(AutointerpError, match=r"metadata\.yaml cannot be read"):
        read_format(Source(tmp_path), k=2)


def test_sdxl_unbox_without_its_configuration_says_what_is_taken(tmp_path: Path) -> None:
    own = learned()
    state = {"pre_bias": own["b_dec"], "latent_bias": own["encoder.bias"]}
    state |= {"encoder.weight": own["encoder.weight"], "decoder.weight": own["decoder.weight"]}
    torch.save({"state_dict": state}, tmp_path / "state_dict.pth")
    notes = read_format(Source(tmp_path), k=3)[1].notes
    assert any("no config.json" in note for note in notes)
    torch.save({"state_dict": state, "config": {"k": 3, "d_model": D}}, tmp_path / "state_dict.pth")
    found = read_format(Source(tmp_path))[1]
    assert found.dictionary.k == 3
    assert any("the configuration inside state_dict.pth is taken" in note for note in found.notes)
    torch.save({"state_dict": state, "activation": "ReLU"}, tmp_path / "state_dict.pth")
    with pytest.raises(AutointerpError, match="the activation 'ReLU'"):
        read_format(Source(tmp_path), k=3)


@pytest.mark.parametrize(
    ("header", "says"),
    [
        ({"schema": 3, "cfg": {"d_model": D}}, "no activation is said: a ReLU is taken"),
        ({"schema": 3, "cfg": {"activation": {"params": {}}}}, "its activation has no name"),
        ({"schema": 1, "cls": "TopK"}, "top_k is not said: 32 is taken"),
    ],
)
def test_saev_says_what_its_header_leaves_open(tmp_path: Path, header: dict[str, Any], says: str) -> None:
    n = 40
    tensors = {"W_enc": torch.randn(D, n), "b_enc": torch.zeros(n), "W_dec": torch.randn(n, D), "b_dec": torch.zeros(D)}
    with (tmp_path / "sae.pt").open("wb") as file:
        file.write(json.dumps(header).encode() + b"\n")
        torch.save(tensors, file)
    assert any(says in note for note in read_format(Source(tmp_path))[1].notes)


# What is no file of weights


@pytest.mark.parametrize("name", ["sae.safetensors", "ae.pt", "sae"])
def test_what_stands_in_the_place_of_weights_is_named(tmp_path: Path, name: str) -> None:
    pages = {
        "version https://git-lfs.github.com/spec/v1\noid sha256:4d\n": "git LFS pointer.*git lfs pull",
        "<!DOCTYPE html><html>": "a web page.*no file of weights",
        "GGUF\x03": "a GGUF model.*no file of weights",
        "": "an empty file",
    }
    for content, says in pages.items():
        (tmp_path / name).write_text(content)
        with pytest.raises(AutointerpError, match=says):
            read_format(Source(tmp_path / name))


def test_a_name_does_not_decide_how_weights_are_opened(tmp_path: Path) -> None:
    sparsify(tmp_path)
    (tmp_path / "sae.safetensors").rename(tmp_path / "sae.bin")
    assert read_format(Source(tmp_path))[0] == "sparsify"
    run(tmp_path / "b")
    torch.save(learned(), tmp_path / "b" / "ae.safetensors")
    assert read_format(Source(tmp_path / "b"))[0] == "dictionary-learning"
