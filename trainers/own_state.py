"""What a model changes by itself while it is trained, besides its weights."""

from collections.abc import Sequence

import tensorflow as tf

from trainers import local, naming


class OwnState(tf.Module):
    """What a model changes by itself, such as the seeds of dropout of Keras's layers.

    A step that is skipped leaves it as it was before the first of its parts, bit for
    bit. Models of ours change nothing by themselves.
    """

    def __init__(self, model: tf.Module, *, in_parts: bool) -> None:
        """Finds it; where a step has parts, a copy is kept from the first to the last.

        Args:
            model: Its variables that are not trained are what it might change.
            in_parts: Whether steps have several parts.
        """
        super().__init__()
        trained = naming.trainable(model)
        self._now = [
            variable
            for name, variable in naming.variables(model).items()
            if name not in trained
        ]
        copied = self._now if in_parts else []
        self._copies = [tf.Variable(value, trainable=False) for value in copied]

    def before(self, part: tf.Variable | int) -> list[tf.Tensor]:
        """Returns the values before the step, in the graph, ahead of the loss.

        Args:
            part: Number of this part of the step, from 0.
        """
        now = [tf.convert_to_tensor(variable) for variable in self._now]
        if not self._copies:
            return now
        _assign_if(tf.equal(part, 0), self._copies, now)
        return [tf.convert_to_tensor(copy) for copy in self._copies]

    def put_back(self, values: Sequence[tf.Tensor], *, unless: tf.Tensor) -> None:
        """Gives all its value of `before`, in the graph, behind the loss."""
        if values:
            _assign_if(~unless, self._now, values)


def _assign_if(
    wanted: tf.Tensor, variables: Sequence[tf.Variable], values: Sequence[tf.Tensor]
) -> None:
    """Assigns in the graph; where it is not wanted, nothing is moved or copied."""

    def assign() -> tf.Operation:
        for variable, value in zip(variables, values, strict=True):
            local.assign(variable, value)
        return tf.no_op()

    tf.cond(wanted, assign, tf.no_op)
