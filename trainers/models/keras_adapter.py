"""Keras layers and models among ours: the same step, checkpoints and decoding.

    # mine.py, called with --model=keras --keras_model=mine:make
    def make(src_vocab_size, tgt_vocab_size):
        src = keras.Input([None], dtype="int32")
        tgt_in = keras.Input([None], dtype="int32")
        ...
        return keras.Model([src, tgt_in], logits)  # [B, T, tgt_vocab_size]

A Keras model's own variable paths change with the order in which its layers are built,
and `tf.train.Checkpoint` overlooks layers in lists and the seeds of dropout. So names
are made here, from attributes, list places and weight names, and it is an error if one
of the model's variables has none.
"""

import importlib
import inspect
from collections.abc import Iterator
from typing import Any

import keras
import tensorflow as tf

from pipeline import batching, exits, vocabulary
from trainers import losses, noise
from trainers.decoding import decoder


class KerasModule(tf.Module):
    """A built Keras layer or model as a module with named variables."""

    def __init__(self, layer: keras.layers.Layer, origin: str | None = None) -> None:
        """Takes a layer whose weights exist.

        Args:
            layer: Of Keras.
            origin: The flag it comes from, with its value, if it does.

        Raises:
            ValueError: If it is not built, or a variable is out of reach of the names.
        """
        super().__init__()
        self._layer, self.origin = layer, origin
        self._named: dict[str, tf.Variable] = {}
        seen: set[int] = set()
        for name, variable in _named(layer, ""):
            if id(variable) not in seen:  # a layer may be in several models
                seen.add(id(variable))
                self._named[name] = variable
        reached = {id(variable) for variable in self._named.values()}
        lost = [v.path for v in layer.variables if id(v.value) not in reached]
        if not layer.built or lost:
            state = (
                f"has variables no attribute leads to: {lost}; keep layers in public "
                "attributes, or lists or dicts of these"
                if lost
                else "is not built; call it once, on tensors like those it is for"
            )
            raise ValueError(f"Keras layer {layer.name!r} {state}")

    def __call__(self, *inputs: Any, **options: Any) -> Any:
        """Returns what the layer returns."""
        return self._layer(*inputs, **options)

    def variables_by_name(self) -> dict[str, tf.Variable]:
        """Returns every variable, the state of dropout's seeds included."""
        return self._named

    @property
    def untrained_ids(self) -> frozenset[int]:
        """Ids of the variables that Keras does not train: `trainable=False`."""
        trained = {id(v.value) for v in self._layer.trainable_variables}
        return frozenset(map(id, self._named.values())) - trained


class KerasSeq2Seq(KerasModule):
    """A Keras model of (src_ids, tgt_in_ids) -> logits as a model of ours.

    It is decoded by running it over the whole prefix at every position: exact, and slow
    for long targets.
    """

    def losses(
        self, batch: batching.Batch, *, smoothing: tf.Tensor, draw: noise.Noise
    ) -> losses.Losses:
        """Returns the loss over the real target tokens of a batch, in sums.

        While training it has what the layers add themselves, such as regularisers: once
        for each token, so that the division by all tokens leaves it once in all.
        """
        is_training = draw is not noise.NONE
        logits = self([batch.src_ids, batch.tgt_in_ids], training=is_training)
        found = losses.of_logits(logits, batch.tgt_out_ids, smoothing=smoothing)
        if not is_training or not self._layer.losses:
            return found
        own = tf.cast(tf.add_n(self._layer.losses), found.loss_sum.dtype)
        return found._replace(loss_sum=found.loss_sum + own * found.num_tokens)

    def start(self, src_ids: tf.Tensor) -> decoder.State:
        """Returns the source and an empty prefix for each row, int32 [N, S], [N, 0]."""
        nothing = tf.zeros([tf.shape(src_ids)[0], 0], tf.int32)
        return decoder.State(source=(), prefix=(src_ids, nothing))

    def next_logits(
        self, tgt_ids: tf.Tensor, state: decoder.State
    ) -> tuple[tf.Tensor, decoder.State]:
        """Returns scores of what follows, [N, V], for the last ids, int32 [N]."""
        src_ids, prefix = state.prefix
        prefix = tf.concat([prefix, tgt_ids[:, None]], axis=1)
        logits = self([src_ids, prefix], training=False)
        last = tf.cast(logits[:, -1], tf.float32)
        return last, state._replace(prefix=(src_ids, prefix))


def load(
    reference: str, vocabularies: vocabulary.Vocabularies, seed: int
) -> KerasSeq2Seq:
    """Returns the model that a function of the user's makes.

    Args:
        reference: `module:function`; it is called with both vocabulary sizes.
        vocabularies: Of the data.
        seed: Of Keras's initial weights and dropout.

    Raises:
        exits.Refusal: If there is no such function, it does not take two sizes, or
            what it returns is no model that can be trained.
    """
    origin = f"--keras_model={reference}"
    module_name, _, function_name = reference.partition(":")
    sizes = vocabularies.src.size, vocabularies.tgt.size
    try:
        make = getattr(importlib.import_module(module_name), function_name)
        inspect.signature(make).bind(*sizes)
    except (ModuleNotFoundError, AttributeError, TypeError, ValueError) as error:
        raise exits.Refusal(
            exits.USAGE,
            f"{origin}: {error}; want module:function, a function of the numbers of "
            "source and target subwords",
        ) from None
    keras.utils.set_random_seed(seed)
    made = make(*sizes)
    if not isinstance(made, keras.layers.Layer):
        told = "nothing" if made is None else f"a {type(made).__name__}"
        raise exits.Refusal(
            exits.USAGE,
            f"{origin}: returns {told}; it must return a keras.Model of (src_ids, "
            "tgt_in_ids) to logits",
        )
    try:
        return KerasSeq2Seq(made, origin)
    except ValueError as error:
        raise exits.Refusal(exits.USAGE, f"{origin}: {error}") from None


def _named(layer: keras.layers.Layer, path: str) -> Iterator[tuple[str, tf.Variable]]:
    """Yields (name, variable) of a layer and the layers inside it."""
    generators = layer._seed_generators
    own = [
        *layer._trainable_variables,
        *layer._non_trainable_variables,
        *(generator.state for generator in generators),
    ]
    counts: dict[str, int] = {}
    for variable in own:
        number = counts.get(variable.name, 0)
        counts[variable.name] = number + 1
        suffix = f"_{number}" if number else ""
        yield f"{path}{variable.name}{suffix}", variable.value
    for index, inner in enumerate(layer._layers):
        place = _attribute(layer, inner) or f"layers/{index}"
        yield from _named(inner, f"{path}{place}/")


def _attribute(layer: keras.layers.Layer, inner: keras.layers.Layer) -> str | None:
    """Returns the public attribute, list place or key by which a layer has another."""
    for name, value in vars(layer).items():
        if name.startswith("_"):
            continue
        if value is inner:
            return str(name)
        if isinstance(value, list | tuple):
            for index, item in enumerate(value):
                if item is inner:
                    return f"{name}/{index}"
        if isinstance(value, dict):
            for key, item in value.items():
                if item is inner:
                    return f"{name}/{key}"
    return None
