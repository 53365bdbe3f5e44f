"""Figures of a classifier, and the splits they are taken on."""
