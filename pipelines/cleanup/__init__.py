"""Free disk space: removed images, leftovers of killed runs, old records and caches."""
