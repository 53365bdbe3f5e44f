"""Blob Storage: credentials, requests, listing, retries, leases, and Hadoop's access to it."""
