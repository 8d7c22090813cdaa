"""Learning SentencePiece models from the training text."""

import io
import pathlib
import tempfile
from collections.abc import Iterable, Iterator
from typing import Any

import sentencepiece

from pipeline import exits, vocabulary
from preprocessing import normalization, subword_config

# Fields of sentencepiece_model.proto.
_TRAINER_SPEC, _NORMALIZER_SPEC = 2, 3  # of a model
_INPUT, _RULES = 1, 6  # files: of the one, of the other
_DELIMITED = 2  # protobuf's wire type


def learn(
    texts: Iterable[str],
    subwords: subword_config.SubwordConfig,
    side: str,
    max_bytes: int,
) -> bytes:
    """Returns a serialised SentencePiece model.

    The same texts, settings and SentencePiece version give the same bytes.

    Args:
        texts: Lines of text, read once.
        subwords: The settings.
        side: `src` or `tgt`, for the settings that differ between the sides.
        max_bytes: No text is longer than this.

    Raises:
        exits.Refusal: If SentencePiece cannot learn such a model from these texts.
    """
    model = io.BytesIO()
    source = _Remembering(texts)
    kind = subwords.type(side)
    options: dict[str, Any] = {
        "model_type": kind,
        "vocab_size": subwords.size(side),
        "character_coverage": subwords.character_coverage,
        "pad_id": vocabulary.PAD_ID,
        "bos_id": vocabulary.BOS_ID,
        "eos_id": vocabulary.EOS_ID,
        "unk_id": vocabulary.UNK_ID,
        "hard_vocab_limit": False,
        "max_sentence_length": max_bytes + 1,
        "byte_fallback": subwords.byte_fallback,
        "user_defined_symbols": list(subwords.user_defined_symbols),
        "num_threads": subwords.spm_threads,
        "minloglevel": 1,
    }
    try:
        with tempfile.TemporaryDirectory() as folder:
            options |= _normalization_options(subwords, pathlib.Path(folder))
            sentencepiece.SentencePieceTrainer.Train(
                sentence_iterator=source, model_writer=model, **options
            )
    except RuntimeError as error:
        if source.error is not None:
            raise source.error from None
        raise exits.Refusal(
            exits.BAD_DATA,
            f"--{side}_model_type={kind} --{side}_vocab_size={subwords.size(side)}: "
            f"SentencePiece cannot learn this from the training text: {error}",
        ) from None
    return _without_paths(model.getvalue())


class _Remembering:
    """Texts that remember what went wrong; SentencePiece would hide it."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._texts = iter(texts)
        self.error: BaseException | None = None

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        try:
            return next(self._texts)
        except StopIteration:
            raise
        except BaseException as error:
            self.error = error
            raise


def _normalization_options(
    subwords: subword_config.SubwordConfig, folder: pathlib.Path
) -> dict[str, str]:
    if subwords.normalize_rules:
        return {"normalization_rule_tsv": subwords.normalize_rules}
    if not subwords.extra_rules:
        rule = "identity" if subwords.normalize == "none" else subwords.normalize
        return {"normalization_rule_name": rule}
    path = folder / "rules.tsv"
    path.write_text(
        normalization.rules(subwords.normalize, subwords.extra_rules), "utf-8"
    )
    return {"normalization_rule_tsv": str(path)}


def _without_paths(model: bytes) -> bytes:
    """Returns the model without the name of the rule file, which differs by run.

    Done on protobuf's wire format, https://protobuf.dev/programming-guides/encoding:
    SentencePiece's own classes insist on a newer protobuf than Apache Beam accepts.
    """
    parts = []
    for number, field, content in _fields(model):
        if number == _TRAINER_SPEC:
            kept = [part for inner, part, _ in _fields(content) if inner != _INPUT]
            parts.append(_delimited(number, b"".join(kept)))
        elif number == _NORMALIZER_SPEC:
            kept = [part for inner, part, _ in _fields(content) if inner != _RULES]
            parts.append(_delimited(number, b"".join((*kept, _delimited(_RULES, b"")))))
        else:
            parts.append(field)
    return b"".join(parts)


def _fields(message: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """Yields number, bytes and content of each field; only messages have content."""
    begin = 0
    while begin < len(message):
        key, end = _varint(message, begin)
        content = b""
        if key & 7 == _DELIMITED:
            size, first = _varint(message, end)
            end = first + size
            content = message[first:end]
        elif key & 7 == 0:
            _, end = _varint(message, end)
        else:
            end += 8 if key & 7 == 1 else 4
        yield key >> 3, message[begin:end], content
        begin = end


def _varint(message: bytes, begin: int) -> tuple[int, int]:
    """Returns a base-128 varint, and where it ends."""
    value = shift = 0
    while True:
        byte = message[begin]
        begin += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, begin
        shift += 7


def _delimited(number: int, content: bytes) -> bytes:
    out = bytearray([number << 3 | _DELIMITED])
    size = len(content)
    while size > 0x7F:
        out.append(size & 0x7F | 0x80)
        size >>= 7
    out.append(size)
    return bytes(out) + content
