"""Settings: their types, where each value comes from, and how they are loaded."""
