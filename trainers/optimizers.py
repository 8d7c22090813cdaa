"""The optimizer: Adam, by TensorFlow's fused kernel, one call a variable.

Kingma and Ba 2015, https://arxiv.org/abs/1412.6980, in the form at the end of section 2
(epsilon is added to the uncorrected root of the second moment). Gradients are clipped
by their global norm first: Pascanu et al. 2013, https://arxiv.org/abs/1211.5063.
"""

import tensorflow as tf

from trainers import config as config_lib


class Adam(tf.Module):
    """Adam over named weights, with moments of the same names."""

    def __init__(
        self, config: config_lib.OptimizerConfig, weights: dict[str, tf.Variable]
    ) -> None:
        """Makes the moments, at 0."""
        super().__init__()
        self._config = config
        self._weights = weights
        self.first_moment = {
            name: tf.Variable(tf.zeros_like(weight)) for name, weight in weights.items()
        }
        self.second_moment = {
            name: tf.Variable(tf.zeros_like(weight)) for name, weight in weights.items()
        }

    def variables_by_name(self) -> dict[str, tf.Variable]:
        """Returns every moment under the name of its weight."""
        named = {f"first_moment/{name}": var for name, var in self.first_moment.items()}
        named |= {
            f"second_moment/{name}": var for name, var in self.second_moment.items()
        }
        return named

    def apply(
        self,
        gradients: dict[str, tf.Tensor],
        norm: tf.Tensor,
        *,
        learning_rate: tf.Tensor,
        updates: tf.Tensor,
    ) -> None:
        """Updates every weight, or none where the norm is not finite.

        A skipped update leaves weights and moments as they are, bit for bit: the
        gradient is replaced by 0, the decays by 1 and the rate by 0, so that the same
        kernels run without an effect.

        Args:
            gradients: By weight name.
            norm: Their global norm, float32 [].
            learning_rate: float32 [].
            updates: Updates made, this one included; float32 [], from 1.
        """
        config = self._config
        finite = tf.math.is_finite(norm)
        scale = 1.0
        if config.clip_norm:
            scale = config.clip_norm / tf.maximum(norm, config.clip_norm)
        one = tf.constant(1.0)
        beta1, beta2 = tf.constant(config.beta1), tf.constant(config.beta2)
        for name, weight in self._weights.items():
            gradient = tf.convert_to_tensor(gradients[name]) * scale
            tf.raw_ops.ResourceApplyAdam(
                var=weight.handle,
                m=self.first_moment[name].handle,
                v=self.second_moment[name].handle,
                beta1_power=tf.where(finite, beta1**updates, 0.0),
                beta2_power=tf.where(finite, beta2**updates, 0.0),
                lr=tf.where(finite, learning_rate, 0.0),
                beta1=tf.where(finite, beta1, one),
                beta2=tf.where(finite, beta2, one),
                epsilon=tf.constant(config.epsilon),
                grad=tf.where(finite, gradient, tf.zeros_like(gradient)),
            )


def global_norm(gradients: dict[str, tf.Tensor]) -> tf.Tensor:
    """Returns the Euclidean norm of all gradients together, float32 []."""
    squares = [tf.reduce_sum(tf.square(value)) for value in gradients.values()]
    return tf.sqrt(tf.add_n(squares))
