"""From raw text to a data directory."""
