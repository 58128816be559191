"""The second training of shapes-vlm, from its first weights on: marks of single cells, and nothing in common."""
