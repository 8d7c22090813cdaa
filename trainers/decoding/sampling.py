"""Drawing the next subword.

One random number in [0, 1) decides: the subword at which the cumulated probabilities
pass it. The numbers come with the request, one for each position of each row, so that
a draw depends on its seed, line and position and not on the batch it is in.
"""

import dataclasses

import numpy as np
import tensorflow as tf

from trainers.decoding import decoder


@dataclasses.dataclass(frozen=True)
class Sampling:
    """From what is drawn.

    Attributes:
        temperature: Divides the logits; below 1 likely subwords become likelier.
        top_k: Only the so many likeliest; 0 for all. Fan et al. 2018,
            https://arxiv.org/abs/1805.04833, section 5.4.
        top_p: Of these the fewest that have so much of the probability, 1 for all.
            Holtzman et al. 2020, https://arxiv.org/abs/1904.09751, section 3.1.
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0

    def __call__(self, scores: tf.Tensor, search: decoder.Search) -> tf.Tensor:
        """Returns a subword for each row, int32 [A], for float32 [A, V]."""
        scaled = scores / self.temperature
        num_subwords = scores.shape[1]
        count = min(self.top_k or num_subwords, num_subwords)
        is_sorted = count < num_subwords or self.top_p < 1
        subwords = None
        if is_sorted:
            scaled, subwords = tf.math.top_k(scaled, count)
        probabilities = tf.nn.softmax(scaled)  # [A, count]
        upto = tf.cumsum(probabilities, axis=1)
        if self.top_p < 1:
            is_in = upto - probabilities < self.top_p
            probabilities = tf.where(is_in, probabilities, 0.0)
        # What is out takes no part: no number reaches beyond the last that is in.
        most = tf.reduce_max(tf.where(probabilities > 0, upto, 0.0), 1, keepdims=True)
        target = search.request.uniforms[:, search.position, None] * most
        is_passed = (upto > target) & (probabilities > 0)
        place = tf.argmax(is_passed, axis=1, output_type=tf.int32)  # the first
        if subwords is None:
            return place
        return tf.gather(subwords, place, batch_dims=1)


def uniforms(seed: int, line: int, sample: int, count: int) -> np.ndarray:
    """Returns the random numbers of a line's positions, float32 [count] in [0, 1).

    Fewer of them are the first of more.

    Args:
        seed: Of all.
        line: Number of the line in the input.
        sample: Which of its samples.
        count: How many.
    """
    bits = np.random.Philox(key=seed, counter=[0, 0, sample, line])
    return np.random.Generator(bits).random(count, dtype=np.float32)
