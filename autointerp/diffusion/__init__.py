"""Diffusion models: what they are, how they generate, and how their activations are read meanwhile."""
