"""Diffusion models: descriptions, loading, generation, and activations that are read and edited during it."""
