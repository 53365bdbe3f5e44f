"""Features -> table `predictions`."""
