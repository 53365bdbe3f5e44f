"""The drawn sample set that `irbis demo` runs on."""
