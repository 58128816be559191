"""Experiments on the diffusion model: what its features cause."""
