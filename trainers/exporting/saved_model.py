"""SavedModel: text in, text out; subword models and decoding are in the graph.

    serve(text: string [N]) -> {"text": string [N], "score": float32 [N]}

It is loaded with TensorFlow and tensorflow-text alone.
"""

import pathlib
from collections.abc import Callable

import tensorflow as tf
import tensorflow_text as tf_text

from pipeline import vocabulary
from trainers import naming, translation

_FUNCTION = "serve"

# int32 [B, S] to ids [B, T], log-probabilities and flags [B].
Decode = Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor, tf.Tensor]]

# What Python's `str.split` takes for white space, as RE2 writes it.
_WHITE_SPACE = (
    r"[\x09-\x0d\x1c-\x20\x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}"
    r"\x{205f}\x{3000}]+"
)

PAGE = """\
    import tensorflow as tf
    import tensorflow_text  # the tokenizer's operations

    model = tf.saved_model.load(".")
    answer = model.serve(tf.constant(["A sentence.", "Another one."]))
    answer["text"], answer["score"]

`serve`, which is also the signature `serving_default`, takes any number of UTF-8 texts
and returns a hypothesis for each, with its log-probability in nats, EOS included. An
empty text gives an empty one with the score 0.
"""


class Server(tf.Module):
    """Subword models, weights and a decoder as one function of strings."""

    def __init__(
        self,
        model: tf.Module,
        decode: Decode,
        tokenizers: tuple[bytes, bytes],
        *,
        max_source_tokens: int,
        beam_size: int,
    ) -> None:
        """Wraps a trained model.

        Args:
            model: Whose variables `decode` reads.
            decode: Decodes batches; see `translation.Translator.best`.
            tokenizers: The SentencePiece models of both sides, serialized.
            max_source_tokens: Longer sources are cut.
            beam_size: Prefixes that go on together for each text.
        """
        super().__init__()
        self.weights = naming.variables(model)  # a SavedModel holds what it is told of
        src_model, tgt_model = tokenizers
        self.src_tokenizer = tf_text.SentencepieceTokenizer(src_model)
        self.tgt_tokenizer = tf_text.SentencepieceTokenizer(tgt_model)
        self._decode = decode
        self._max_source_tokens = max_source_tokens
        self._beam_size = beam_size

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "text")])
    def serve(self, text: tf.Tensor) -> dict[str, tf.Tensor]:
        """Returns `text`, string [N], and `score`, float32 [N], for string [N]."""
        subwords = self._source_ids(text)
        lengths = tf.cast(subwords.row_lengths(), tf.int32)
        order = tf.argsort(lengths, direction="DESCENDING", stable=True)
        lines, scores = self._in_batches(
            tf.gather(subwords, order), tf.gather(lengths, order)
        )
        rank = tf.math.invert_permutation(order)
        place = tf.where(lengths > 0, rank + 1, 0)
        return {"text": tf.gather(lines, place), "score": tf.gather(scores, place)}

    def _in_batches(
        self, subwords: tf.RaggedTensor, lengths: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Decodes rows in batches of similar length, as a `Translator` does.

        Args:
            subwords: Sources without EOS, int32 [N, None], longest first.
            lengths: Of these, int32 [N].

        Returns:
            Lines and scores: first those of an empty row, then the M rows that are not
            empty: string and float32 [1 + M].
        """
        num_rows = tf.math.count_nonzero(lengths, dtype=tf.int32)

        def one_batch(
            first: tf.Tensor, count: tf.Tensor, *found: tf.TensorArray
        ) -> tuple[tf.Tensor | tf.TensorArray, ...]:
            lines, scores = found
            longest = lengths[first] + 1
            size = tf.minimum(
                translation.PREFIXES_PER_BATCH, translation.TOKENS_PER_BATCH // longest
            )
            size = tf.maximum(size // self._beam_size, 1)
            last = tf.minimum(first + size, num_rows)
            ids, log_probs, _ = self._decode(_batch(subwords[first:last]))
            lines = lines.write(count, self._lines(ids))
            return last, count + 1, lines, scores.write(count, log_probs)

        begin = tuple(
            tf.TensorArray(
                kind, 1, dynamic_size=True, infer_shape=False, element_shape=[None]
            ).write(0, tf.constant([empty], kind))
            for kind, empty in ((tf.string, ""), (tf.float32, 0.0))
        )
        _, _, lines, scores = tf.while_loop(
            lambda first, *_: first < num_rows, one_batch, (0, 1, *begin)
        )
        return lines.concat(), scores.concat()

    def _source_ids(self, text: tf.Tensor) -> tf.RaggedTensor:
        """Returns subwords without EOS, int32 [N, None], long ones cut."""
        valid = tf.strings.unicode_transcode(text, "UTF-8", "UTF-8", errors="replace")
        return self.src_tokenizer.tokenize(valid)[:, : self._max_source_tokens]

    def _lines(self, ids: tf.Tensor) -> tf.Tensor:
        """Returns the text of each row, one line each, string [B], for int32 [B, T]."""
        special = (vocabulary.PAD_ID, vocabulary.BOS_ID, vocabulary.EOS_ID)
        is_text = tf.reduce_all([ids != index for index in special], axis=0)
        lines = self.tgt_tokenizer.detokenize(tf.ragged.boolean_mask(ids, is_text))
        return tf.strings.strip(tf.strings.regex_replace(lines, _WHITE_SPACE, " "))


def write(server: Server, directory: pathlib.Path) -> None:
    """Writes the SavedModel into a directory, for inference: without gradients.

    Those of the recurrent loops could not be written with it.
    """
    tf.saved_model.save(
        server,
        str(directory),
        signatures={"serving_default": server.serve, _FUNCTION: server.serve},
        options=tf.saved_model.SaveOptions(experimental_custom_gradients=False),
    )


def _batch(subwords: tf.RaggedTensor) -> tf.Tensor:
    """Returns sources with EOS, right-padded, int32 [B, S]."""
    ends = tf.fill([subwords.nrows(out_type=tf.int32), 1], vocabulary.EOS_ID)
    return tf.concat([subwords, ends], axis=1).to_tensor(vocabulary.PAD_ID)
