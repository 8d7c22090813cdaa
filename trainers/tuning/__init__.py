"""Searching for good flags: a space, a study, its trials, what came out."""
