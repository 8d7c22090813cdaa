"""Variables as one replica has them: each changes its own copy, all in the same way.

TensorFlow refuses `Variable.assign` in a replica unless it may sum or copy the values
of all of them, which costs a collective for every variable. Here what is assigned is
made of sums over all replicas already, so each replica writes it for itself. Without
replicas these are the operations that `assign` would make.
"""

import tensorflow as tf


def assign(variable: tf.Variable, value: tf.Tensor) -> None:
    """Sets this replica's copy, in the graph."""
    tf.raw_ops.AssignVariableOp(resource=variable.handle, value=_like(value, variable))


def assign_add(variable: tf.Variable, value: tf.Tensor | int) -> None:
    """Adds to this replica's copy, in the graph."""
    tf.raw_ops.AssignAddVariableOp(
        resource=variable.handle, value=_like(value, variable)
    )


def assign_sub(variable: tf.Variable, value: tf.Tensor) -> None:
    """Subtracts from this replica's copy, in the graph."""
    tf.raw_ops.AssignSubVariableOp(
        resource=variable.handle, value=_like(value, variable)
    )


def _like(value: tf.Tensor | int, variable: tf.Variable) -> tf.Tensor:
    return tf.convert_to_tensor(value, variable.dtype)
