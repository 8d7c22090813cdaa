"""Models: one concept a file."""
