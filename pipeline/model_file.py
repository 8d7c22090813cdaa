"""What stands in the file of a SentencePiece model, without protobuf's classes for it.

Those insist on a newer protobuf than Apache Beam accepts, so this reads the wire
format, https://protobuf.dev/programming-guides/encoding. Numbers of fields and kinds
are those of sentencepiece_model.proto.
"""

import struct
from collections.abc import Iterator
from typing import NamedTuple

UNIGRAM, BPE = 1, 2  # kinds of models; the others have one segmentation of a text
NORMAL, UNKNOWN, USER_DEFINED, UNUSED, BYTE = 1, 2, 4, 5, 6  # kinds of pieces

PIECE, TRAINER_SPEC, NORMALIZER_SPEC = 1, 2, 3  # fields of a model
_MODEL_TYPE = 3  # field of a trainer's specification
_TEXT, _SCORE, _KIND = 1, 2, 3  # fields of a piece
_VARINT, _DELIMITED = 0, 2  # wire types
_SIZES = {1: 8, 5: 4}  # bytes of the others


class Piece(NamedTuple):
    """A subword.

    Attributes:
        text: With U+2581 where a word begins.
        score: Of a unigram model the logarithm of its probability, of BPE minus its
            place among the merges.
        kind: See above.
    """

    text: str
    score: float
    kind: int


def kind(model: bytes) -> int:
    """Returns whether a serialised model is unigram, BPE or another."""
    found = UNIGRAM
    for number, _, content in fields(model):
        if number == TRAINER_SPEC:
            for inner, _, value in fields(content):
                if inner == _MODEL_TYPE:
                    found = varint(value, 0)[0]
    return found


def pieces(model: bytes) -> list[Piece]:
    """Returns the pieces of a serialised model, by id."""
    found = []
    for number, _, content in fields(model):
        if number == PIECE:
            parts = {inner: value for inner, _, value in fields(content)}
            (score,) = struct.unpack("<f", parts.get(_SCORE, b"\0\0\0\0"))
            piece_kind = varint(parts[_KIND], 0)[0] if _KIND in parts else NORMAL
            found.append(Piece(parts[_TEXT].decode(), score, piece_kind))
    return found


def fields(message: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """Yields number, bytes and content of each field."""
    begin = 0
    while begin < len(message):
        key, first = varint(message, begin)
        if key & 7 == _DELIMITED:
            size, first = varint(message, first)
            end = first + size
        elif key & 7 == _VARINT:
            _, end = varint(message, first)
        else:
            end = first + _SIZES[key & 7]
        yield key >> 3, message[begin:end], message[first:end]
        begin = end


def varint(message: bytes, begin: int) -> tuple[int, int]:
    """Returns a base-128 varint, and where it ends."""
    value = shift = 0
    while True:
        byte = message[begin]
        begin += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, begin
        shift += 7


def delimited(number: int, content: bytes) -> bytes:
    """Returns a field of bytes, a string or a message."""
    out = bytearray([number << 3 | _DELIMITED])
    size = len(content)
    while size > 0x7F:
        out.append(size & 0x7F | 0x80)
        size >>= 7
    out.append(size)
    return bytes(out) + content
