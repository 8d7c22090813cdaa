"""Decoders: from a source sentence to a hypothesis."""
