"""Image files -> table `images`."""
