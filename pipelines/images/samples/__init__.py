"""Camera-trap pictures drawn in code: the set that the demo runs on."""
