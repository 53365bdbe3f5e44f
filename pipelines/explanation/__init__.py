"""Where a linear classifier looks: contribution maps, boxes, geometry. NumPy only."""
