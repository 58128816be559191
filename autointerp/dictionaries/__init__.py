"""Dictionaries: the protocol, its kinds, fitting, figures and storage."""
