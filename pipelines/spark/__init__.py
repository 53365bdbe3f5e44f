"""The Spark session: Java, jars, memory, and checks before it starts."""
