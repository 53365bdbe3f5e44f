"""The stages of the pipeline, each in a folder of its own."""
