"""Trainers of every model of the shapes world; `python -m training.shapes --help`."""
