"""Damage done to files."""

import pathlib


def flip_a_bit(path: pathlib.Path, place: int | None = None) -> None:
    """Changes a bit of the byte at a place in a file, by default in its middle."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2 if place is None else place] ^= 1
    path.write_bytes(content)
