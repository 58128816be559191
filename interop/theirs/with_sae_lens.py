"""SAELens: its own classes and loaders."""

from __future__ import annotations

from pathlib import Path

import torch
from exchange import D, K, N, answer, cases, inputs, main, randomize, state
from sae_lens import (
    SAE,
    BatchTopKTrainingSAE,
    BatchTopKTrainingSAEConfig,
    GatedSAE,
    GatedSAEConfig,
    JumpReLUSAE,
    JumpReLUSAEConfig,
    JumpReLUTranscoder,
    JumpReLUTranscoderConfig,
    SkipTranscoder,
    SkipTranscoderConfig,
    StandardSAE,
    StandardSAEConfig,
    TopKSAE,
    TopKSAEConfig,
    Transcoder,
    TranscoderConfig,
)


def write(folder: Path) -> None:
    """Every architecture for inference, with and without what is folded on import."""
    size = {"d_in": D, "d_sae": N}
    for case, sae in {
        "topk": TopKSAE(TopKSAEConfig(**size, k=K)),
        "topk-rescaled": TopKSAE(TopKSAEConfig(**size, k=K, rescale_acts_by_decoder_norm=True)),
        "topk-b_dec-not-applied": TopKSAE(TopKSAEConfig(**size, k=K, apply_b_dec_to_input=False)),
        "jumprelu": JumpReLUSAE(JumpReLUSAEConfig(**size)),
        "standard": StandardSAE(StandardSAEConfig(**size, apply_b_dec_to_input=False)),
        "gated": GatedSAE(GatedSAEConfig(**size)),
        "gated-b_dec-not-applied": GatedSAE(GatedSAEConfig(**size, apply_b_dec_to_input=False)),
    }.items():
        randomize(sae, 1)
        sae.save_model(folder / case)
        state(folder, case, sae.encode, sae.decode)
    training = BatchTopKTrainingSAE(BatchTopKTrainingSAEConfig(**size, k=K))
    randomize(training, 2)
    training.topk_threshold = torch.tensor(0.6, dtype=torch.double)
    training.save_inference_model(folder / "batchtopk")
    saved = SAE.load_from_disk(folder / "batchtopk")
    state(folder, "batchtopk", saved.encode, saved.decode)
    maps = {**size, "d_out": D, "apply_b_dec_to_input": False}
    for case, transcoder in {
        "transcoder": Transcoder(TranscoderConfig(**maps)),
        "transcoder-jumprelu": JumpReLUTranscoder(JumpReLUTranscoderConfig(**maps)),
        "transcoder-skip": SkipTranscoder(SkipTranscoderConfig(**maps)),
    }.items():
        randomize(transcoder, 3)
        transcoder.save_model(folder / case)
        # A skip connection rebuilds from the inputs too, which `decode` does not take.
        state(folder, case, transcoder.encode, lambda _acts, whole=transcoder: whole(inputs()))


def read(folder: Path) -> None:
    """Our exports through `SAE.load_from_disk`; what we put into their metadata must be there."""
    for case, path, x, acts in cases(folder):
        sae = SAE.load_from_disk(path)
        assert sae.cfg.metadata["autointerp"]["hookpoint"] == sae.cfg.metadata.hook_name
        answer(folder, case, sae.encode(x), sae.decode(acts))


main(write, read)
