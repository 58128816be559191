"""Trainers of every model of the shapes world; `python -m autointerp.shapes.train --help`."""
