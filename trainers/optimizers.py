"""Optimizers: what a gradient does to the weights.

Each updates named weights, keeps moments of the same names, and can be told not to: an
update that is skipped, because a gradient is not finite or only memory is tried, leaves
weights and moments as they are, bit for bit. That is why they are ours: those of Keras
decay their moments whatever the rate.

    adam       Kingma and Ba 2015, https://arxiv.org/abs/1412.6980, the form at the end
               of section 2 (epsilon beside the uncorrected root); TensorFlow's kernel
    adamw      the same with decoupled weight decay: Loshchilov and Hutter 2019,
               https://arxiv.org/abs/1711.05101, algorithm 2
    lion       Chen et al. 2023, https://arxiv.org/abs/2302.06675, algorithm 2
    sgd        with momentum, m = momentum * m + g; w = w - rate * m: Sutskever et al.
               2013 write it with the rate inside m
    adafactor  Shazeer and Stern 2018, https://arxiv.org/abs/1804.04235, algorithm 4
               with parameter scale, and no first moment

Weight decay is decoupled in all: w = w - rate * weight_decay * w, before the update.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import tensorflow as tf

from trainers import local, optimizer_config

# Shazeer and Stern 2018, section 9.
_ADAFACTOR_DECAY, _ADAFACTOR_CLIP = 0.8, 1.0
_ADAFACTOR_EPSILON1, _ADAFACTOR_EPSILON2 = 1e-30, 1e-3

Named = dict[str, tf.Variable]


class Given(NamedTuple):
    """What an update is made from.

    Attributes:
        gradient: Scaled; 0 if nothing is to change.
        rate: The learning rate; 0 if nothing is to change.
        live: Whether something is, bool [].
        updates: Updates made, this one included, from 1.
    """

    gradient: tf.Tensor
    rate: tf.Tensor
    live: tf.Tensor
    updates: tf.Tensor


class Optimizer(tf.Module):
    """What is common: weight decay, and the masking of updates."""

    def __init__(
        self, config: optimizer_config.OptimizerConfig, weights: Named
    ) -> None:
        """Takes the weights; their moments are made by the kinds below."""
        super().__init__()
        self._config = config
        self._weights = weights

    def variables_by_name(self) -> Named:
        """Returns every moment under its kind and the name of its weight."""
        return {
            f"{kind}/{name}": variable
            for kind, moments in vars(self).items()
            if not kind.startswith("_") and isinstance(moments, Mapping)
            for name, variable in moments.items()
        }

    def apply(
        self,
        gradients: Mapping[str, tf.Tensor],
        *,
        scale: tf.Tensor | float,
        live: tf.Tensor,
        learning_rate: tf.Tensor,
        updates: tf.Tensor,
    ) -> None:
        """Updates every weight, or none.

        Args:
            gradients: By weight name.
            scale: What they are multiplied by: clipping, and all divisions. float32 [].
            live: Whether to update at all, bool [].
            learning_rate: float32 [].
            updates: Updates made, this one included if it is live; float32 [].
        """
        for name, weight in self._weights.items():
            kind = weight.dtype
            gradient = tf.convert_to_tensor(gradients[name])
            if not isinstance(scale, float) or scale != 1.0:  # a pass saved
                gradient *= tf.cast(scale, kind)
            # What is not finite times 0 is not 0.
            gradient = tf.where(live, gradient, tf.zeros_like(gradient))
            rate = tf.cast(tf.where(live, learning_rate, 0.0), kind)
            if self._config.weight_decay and self._is_decayed(name):
                local.assign_sub(weight, rate * self._config.weight_decay * weight)
            given = Given(gradient, rate, live, tf.cast(updates, kind))
            self._update(name, weight, given)

    def _is_decayed(self, name: str) -> bool:
        return name.rpartition("/")[2] not in self._config.no_decay

    def _zeros(self) -> Named:
        return {
            name: tf.Variable(tf.zeros_like(weight), trainable=False)
            for name, weight in self._weights.items()
        }

    def _update(self, name: str, weight: tf.Variable, given: Given) -> None:
        """Moves one weight, and its moments."""
        raise NotImplementedError


class Adam(Optimizer):
    """Adam; with weight decay AdamW."""

    def __init__(
        self, config: optimizer_config.OptimizerConfig, weights: Named
    ) -> None:
        """Makes both moments, at 0."""
        super().__init__(config, weights)
        self.first_moment = self._zeros()
        self.second_moment = self._zeros()

    def _update(self, name: str, weight: tf.Variable, given: Given) -> None:
        kind = weight.dtype
        one, zero = tf.ones([], kind), tf.zeros([], kind)
        beta1, beta2 = (
            tf.constant(beta, kind) for beta in (self._config.beta1, self._config.beta2)
        )
        tf.raw_ops.ResourceApplyAdam(
            var=weight.handle,
            m=self.first_moment[name].handle,
            v=self.second_moment[name].handle,
            beta1_power=tf.where(given.live, beta1**given.updates, zero),
            beta2_power=tf.where(given.live, beta2**given.updates, zero),
            lr=given.rate,
            beta1=tf.where(given.live, beta1, one),
            beta2=tf.where(given.live, beta2, one),
            epsilon=tf.constant(self._config.epsilon, kind),
            grad=given.gradient,
        )


class Lion(Optimizer):
    """The sign of an interpolation between moment and gradient."""

    def __init__(
        self, config: optimizer_config.OptimizerConfig, weights: Named
    ) -> None:
        """Makes the moment, at 0."""
        super().__init__(config, weights)
        self.moment = self._zeros()

    def _update(self, name: str, weight: tf.Variable, given: Given) -> None:
        moment = self.moment[name]
        beta1, beta2 = self._config.beta1, self._config.beta2
        local.assign_sub(
            weight, given.rate * tf.sign(beta1 * moment + (1 - beta1) * given.gradient)
        )
        later = beta2 * moment + (1 - beta2) * given.gradient
        local.assign(moment, tf.where(given.live, later, moment))


class Sgd(Optimizer):
    """Gradient descent with momentum."""

    def __init__(
        self, config: optimizer_config.OptimizerConfig, weights: Named
    ) -> None:
        """Makes the moment, at 0."""
        super().__init__(config, weights)
        self.moment = self._zeros()

    def _update(self, name: str, weight: tf.Variable, given: Given) -> None:
        moment = self.moment[name]
        later = self._config.momentum * moment + given.gradient
        local.assign_sub(weight, given.rate * later)
        local.assign(moment, tf.where(given.live, later, moment))


class Adafactor(Optimizer):
    """A second moment kept as its row and column means, for weights of two axes."""

    def __init__(
        self, config: optimizer_config.OptimizerConfig, weights: Named
    ) -> None:
        """Makes the means, at 0."""
        super().__init__(config, weights)
        self.rows: Named = {}
        self.columns: Named = {}
        self.full: Named = {}
        for name, weight in weights.items():
            shape, kind = weight.shape, weight.dtype
            if shape.rank == 2:
                self.rows[name] = _variable(shape[:1], kind)
                self.columns[name] = _variable(shape[1:], kind)
            else:
                self.full[name] = _variable(shape, kind)

    def _update(self, name: str, weight: tf.Variable, given: Given) -> None:
        # 0 where nothing was updated yet and nothing is now: a trial of memory.
        updates = tf.maximum(given.updates, 1)
        decay = 1 - updates**-_ADAFACTOR_DECAY
        squares = tf.square(given.gradient) + _ADAFACTOR_EPSILON1

        def follow(mean: tf.Variable, now: tf.Tensor) -> tf.Tensor:
            later = decay * mean + (1 - decay) * now
            local.assign(mean, tf.where(given.live, later, mean))
            return later

        if name in self.full:
            inverse = tf.math.rsqrt(follow(self.full[name], squares))
        else:
            rows = follow(self.rows[name], tf.reduce_mean(squares, 1))
            columns = follow(self.columns[name], tf.reduce_mean(squares, 0))
            inverse = (
                tf.math.rsqrt(rows / tf.reduce_mean(rows))[:, None]
                * tf.math.rsqrt(columns)[None, :]
            )
        update = given.gradient * inverse
        update /= tf.maximum(1.0, _root_mean_square(update) / _ADAFACTOR_CLIP)
        size = tf.maximum(_root_mean_square(weight), _ADAFACTOR_EPSILON2)
        local.assign_sub(weight, given.rate * size * update)


KINDS: dict[str, Callable[[optimizer_config.OptimizerConfig, Named], Optimizer]] = {
    "adam": Adam,
    "adamw": Adam,
    "lion": Lion,
    "sgd": Sgd,
    "adafactor": Adafactor,
}


def make(config: optimizer_config.OptimizerConfig, weights: Named) -> Optimizer:
    """Returns the optimizer that a config names, its moments at 0."""
    return KINDS[config.optimizer](config, weights)


def clip_scale(norm: tf.Tensor, clip_norm: float) -> tf.Tensor | float:
    """Returns what scales gradients of a global norm down to `clip_norm`; 0 for never.

    Pascanu et al. 2013, https://arxiv.org/abs/1211.5063, algorithm 1.
    """
    return clip_norm / tf.maximum(norm, clip_norm) if clip_norm else 1.0


def global_norm(gradients: Mapping[str, tf.Tensor]) -> tf.Tensor:
    """Returns the Euclidean norm of all gradients together, a scalar."""
    squares = [tf.reduce_sum(tf.square(value)) for value in gradients.values()]
    return tf.sqrt(tf.add_n(squares))


def _variable(shape: tf.TensorShape, kind: tf.DType) -> tf.Variable:
    return tf.Variable(tf.zeros(shape, kind), trainable=False)


def _root_mean_square(values: tf.Tensor | tf.Variable) -> tf.Tensor:
    return tf.sqrt(tf.reduce_mean(tf.square(values)))
