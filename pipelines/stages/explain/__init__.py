"""Tables `images`, `predictions` -> table `boxes`: where the model looks."""
