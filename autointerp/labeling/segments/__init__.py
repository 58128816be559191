"""Segments of pictures that phrases name, by an open-vocabulary detector and a segmenter of any picture."""
