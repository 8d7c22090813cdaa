"""A run as one HTML page: what was asked, what it did, what came out."""
