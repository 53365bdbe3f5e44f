"""Review: what people should look at next, the page where they decide, and the journal of their decisions."""
