"""Stage `score`: how true labels are, by every method."""
