"""Inversion: how well shapes gives rendered scenes back from the noise that was found for them.

PSNR against the scenes: of what is generated from the inverted noise, without guidance, and of what the autoencoder
alone makes of the same latents.
"""

from __future__ import annotations

import time

import numpy as np

SCENES = 8


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    """Of two arrays of pictures uint8 [n, height, width, 3], in dB, the mean over the pictures."""
    errors = np.square(a.astype(float) - b).reshape(len(a), -1).mean(1)
    return float((10 * np.log10(255**2 / errors)).mean())


def measure(steps: int = 8) -> dict[str, float]:
    """Figures of one number of steps."""
    import torch
    from PIL import Image

    from autointerp.diffusion.inversion import invert, unguided
    from autointerp.diffusion.jobs import GenerationSettings, ImageJob
    from autointerp.diffusion.loading import load_model
    from autointerp.diffusion.passes import Pass
    from autointerp.diffusion.real import encode_pictures
    from autointerp.diffusion.running import run_pipeline
    from autointerp.shapes.scenes import render, sample_held_out_scene

    model = load_model("shapes", device="cpu", dtype="float32")
    draw = np.random.default_rng(5)
    scenes = [sample_held_out_scene(draw) for _ in range(SCENES)]
    given = np.stack([render(scene).image for scene in scenes])
    jobs = [ImageJob(n, scene.caption, n) for n, scene in enumerate(scenes)]
    settings = GenerationSettings.resolve(model.defaults, {"steps": steps})
    clean = encode_pictures(model, [Image.fromarray(one) for one in given])
    begun = time.perf_counter()
    batch = Pass(model, tuple(jobs), settings)
    found = invert(batch, clean)
    seconds = time.perf_counter() - begun

    generated = np.stack([np.asarray(p) for p in run_pipeline(unguided(batch), latents=found.noise)])

    vae = model.pipeline.vae
    with torch.inference_mode():
        pixels = torch.from_numpy(given).permute(0, 3, 1, 2).float() / 127.5 - 1
        decoded = vae.decode(vae.encode(pixels).latents).sample.clamp(-1, 1)
    rebuilt = ((decoded + 1) * 127.5).round().permute(0, 2, 3, 1).numpy().astype(np.uint8)
    return {
        "steps": steps,
        "seconds": seconds,
        "residual": float(found.residual.max()),
        "psnr_inverted": psnr(given, generated),
        "psnr_autoencoder": psnr(given, rebuilt),
    }


if __name__ == "__main__":
    for name, value in measure().items():
        print(f"{name:18} {value:.4g}")
