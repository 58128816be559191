"""Bundles and label files that travel."""
