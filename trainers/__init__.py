"""From batches to checkpoints, and from checkpoints to text."""
