"""Names of variables: their attribute path, such as `encoder/0/attention/query/kernel`.

The path is fixed by the code, whatever is built or called first, so a checkpoint can be
read by name for as long as the attributes keep theirs.
"""

from collections.abc import Mapping

import tensorflow as tf


def variables(module: tf.Module) -> dict[str, tf.Variable]:
    """Returns every variable reachable from a module, once, by its first path.

    Modules may say themselves, by a method `variables_by_name`, what theirs are called.
    """
    named: dict[str, tf.Variable] = {}
    seen: set[int] = set()
    _collect(module, "", named, seen)
    return named


def trainable(module: tf.Module) -> dict[str, tf.Variable]:
    """Returns those variables that gradients may change.

    Modules may say, by a property `untrained_ids`, which of theirs are left alone
    though TensorFlow would train them.
    """
    untrained: set[int] = set()
    for node in (module, *module.submodules):
        untrained |= getattr(node, "untrained_ids", frozenset())
    return {
        name: variable
        for name, variable in variables(module).items()
        if variable.trainable and id(variable) not in untrained
    }


def _collect(
    node: object, path: str, named: dict[str, tf.Variable], seen: set[int]
) -> None:
    """Walks attributes, lists and dicts in the order of their names or places."""
    if id(node) in seen:
        return
    if isinstance(node, tf.Variable):
        seen.add(id(node))
        named[path] = node
    elif isinstance(node, tf.Module):
        seen.add(id(node))
        if hasattr(node, "variables_by_name"):
            for name, variable in node.variables_by_name().items():
                named[_join(path, name)] = variable
            return
        for name, value in sorted(vars(node).items()):
            if not name.startswith("_"):
                _collect(value, _join(path, name), named, seen)
    elif isinstance(node, list | tuple):
        for index, value in enumerate(node):
            _collect(value, _join(path, str(index)), named, seen)
    elif isinstance(node, Mapping):
        for name, value in sorted(node.items()):
            _collect(value, _join(path, str(name)), named, seen)


def _join(path: str, name: str) -> str:
    return f"{path}/{name}" if path else name
