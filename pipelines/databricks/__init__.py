"""The bundle of Databricks jobs, and secrets of a workspace."""
