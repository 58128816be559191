"""Embedders, vector indexes, and rankings."""
