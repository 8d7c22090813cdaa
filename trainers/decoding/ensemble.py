"""Several models that decode as one: the mean of their probabilities."""

import math
from collections.abc import Sequence

import tensorflow as tf

from trainers.decoding import decoder


class Ensemble:
    """Models of the same vocabulary as one `Decodable`.

    What it calls logits are logarithms of the mean of the models' probabilities, as in
    Sutskever et al. 2014, https://arxiv.org/abs/1409.3215, section 3.6; a product of
    experts, the mean of log-probabilities, would let any one model forbid a subword.
    """

    def __init__(self, models: Sequence[decoder.Decodable]) -> None:
        """Takes one model or more."""
        self._models = models

    def start(self, src_ids: tf.Tensor) -> decoder.State:
        """Returns the states of all models side by side."""
        return _joined([model.start(src_ids) for model in self._models])

    def next_logits(
        self, tgt_ids: tf.Tensor, state: decoder.State
    ) -> tuple[tf.Tensor, decoder.State]:
        """Returns log-probabilities of what follows, [N, V], and the states."""
        log_probs, states = [], []
        for model, source, prefix in zip(
            self._models, state.source, state.prefix, strict=True
        ):
            logits, after = model.next_logits(tgt_ids, decoder.State(source, prefix))
            log_probs.append(tf.nn.log_softmax(tf.cast(logits, tf.float32)))
            states.append(after)
        total = tf.reduce_logsumexp(tf.stack(log_probs), axis=0)
        return total - math.log(len(log_probs)), _joined(states)


def _joined(states: Sequence[decoder.State]) -> decoder.State:
    return decoder.State(
        source=tuple(state.source for state in states),
        prefix=tuple(state.prefix for state in states),
    )
