"""Table `images` -> table `detections`: boxes by a detector that the user brings."""
