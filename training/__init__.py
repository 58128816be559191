"""Trainers of the shipped weights; they are no part of the package."""
