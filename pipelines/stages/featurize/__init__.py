"""Table `images` -> table `features`."""
