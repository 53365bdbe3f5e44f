"""The model that takes images and returns labels, without Spark or Java: for endpoints and laptops."""
