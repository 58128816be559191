"""Whole commands, like make: a command names a result, and every missing stage on the way to it is run, in order."""
