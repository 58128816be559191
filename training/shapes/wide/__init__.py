"""A wider world than that of shapes, which only renders show, to teach shapes-vlm more words than it is asked for."""
