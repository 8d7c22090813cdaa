"""What is answered to a text: hypotheses and attention, or classes."""

import threading
from collections.abc import Sequence
from typing import Any

from pipeline import vocabulary
from trainers import attention_maps, prediction, translation
from trainers.decoding import decoder

# Of an answer's attention: 10 bytes each in JSON, and 30 before they are written.
_MAX_WEIGHTS = 1_000_000


class Translations:
    """Translates one text at a time, whoever asks."""

    def __init__(
        self,
        model: decoder.Decodable,
        vocabularies: vocabulary.Vocabularies,
        translator: translation.Translator,
        *,
        max_source_tokens: int = translation.GREEDY.max_source_tokens,
    ) -> None:
        """Wraps a model and what translates with it."""
        self._translator = translator
        self._reader = None
        if hasattr(model, "attention_weights"):
            self._reader = attention_maps.Reader(
                model, vocabularies, max_source_tokens=max_source_tokens
            )
        # Requests come from several threads; one text at a time has all the cores.
        self._lock = threading.Lock()

    def __call__(self, text: str) -> dict[str, Any]:
        """Returns what the endpoint answers, ready for JSON.

        The best hypotheses have their attention, until it is too much to send.

        Args:
            text: One text; line ends in it are taken for spaces.
        """
        line = text.replace("\n", " ")
        with self._lock:
            (said,) = self._translator.hypotheses([line])
            left, described = _MAX_WEIGHTS, []
            for one in said:
                found = None
                if self._reader is not None and left > 0:
                    found = self._reader.read(line, one)
                    left -= found.weights.size if found else 0
                described.append(_described(one, found if left >= 0 else None))
        return {"hypotheses": described}


def _described(
    hypothesis: translation.Hypothesis, found: attention_maps.AttentionMap | None
) -> dict[str, Any]:
    return {
        "text": hypothesis.text,
        "log_prob": hypothesis.log_prob,
        "finished": hypothesis.finished,
        "attention": found
        and {
            "src_pieces": found.src_pieces,
            "tgt_pieces": found.tgt_pieces,
            "weights": attention_maps.rounded(found.weights),
        },
    }


class Classes:
    """Says what one text at a time is, whoever asks."""

    def __init__(self, predictor: prediction.Predictor, names: Sequence[str]) -> None:
        """Wraps a classifier and the names of its classes, by id."""
        self._predictor, self._names = predictor, names
        self._lock = threading.Lock()

    def __call__(self, text: str) -> dict[str, Any]:
        """Returns what the endpoint answers: all classes, the likeliest first.

        Args:
            text: One text; line ends in it are taken for spaces.
        """
        with self._lock:
            (probabilities,) = self._predictor([text.replace("\n", " ")]).probabilities
        classes = [
            {"label": name, "probability": float(probability)}
            for name, probability in zip(self._names, probabilities, strict=True)
        ]
        return {"classes": sorted(classes, key=lambda one: -one["probability"])}
