"""From a data directory to dense batches, and every format two sides agree on."""
