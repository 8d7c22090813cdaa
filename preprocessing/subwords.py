"""Learning SentencePiece models from the training text."""

import io
import pathlib
import tempfile
from collections.abc import Iterable, Iterator
from typing import Any

import sentencepiece

from pipeline import exits, model_file, vocabulary
from preprocessing import normalization, subword_config

_INPUT, _RULES = 1, 6  # files: fields of the trainer's part, of the normaliser's


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
    except (RuntimeError, UnicodeDecodeError) as error:  # of a rule file not in UTF-8
        if source.error is not None:
            raise source.error from None
        of_rules = isinstance(error, UnicodeDecodeError) or "builder.cc" in str(error)
        if subwords.normalize_rules and of_rules:
            raise exits.Refusal(
                exits.BAD_DATA, f"--normalize_rules={subwords.normalize_rules}: {error}"
            ) from None
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

    Done on the wire format, see `model_file`.
    """
    left_out = {model_file.TRAINER_SPEC: _INPUT, model_file.NORMALIZER_SPEC: _RULES}
    parts = []
    for number, field, content in model_file.fields(model):
        if number not in left_out:
            parts.append(field)
            continue
        kept = [
            part
            for inner, part, _ in model_file.fields(content)
            if inner != left_out[number]
        ]
        if number == model_file.NORMALIZER_SPEC:
            kept.append(model_file.delimited(_RULES, b""))
        parts.append(model_file.delimited(number, b"".join(kept)))
    return b"".join(parts)
