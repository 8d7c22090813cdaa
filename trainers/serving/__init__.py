"""A local page and JSON endpoint over a trained model."""
