"""A user's Keras model, with what trips up object-graph checkpoints: lists, dropout."""

import keras


@keras.saving.register_keras_serializable("sluice_tests")
class Mixer(keras.layers.Layer):
    """Dense layers in a list, and dropout."""

    def __init__(self, width: int, **options):
        super().__init__(**options)
        self.blocks = [keras.layers.Dense(width, activation="relu") for _ in range(2)]
        self.drop = keras.layers.Dropout(0.1)

    def build(self, shape):
        for block in self.blocks:
            block.build(shape)
        super().build(shape)

    def call(self, values, training=None):
        for block in self.blocks:
            values = values + self.drop(block(values), training=training)
        return values


def make(src_vocab_size: int, tgt_vocab_size: int) -> keras.Model:
    """Returns a small attention model of (src_ids, tgt_in_ids) to logits."""
    src = keras.Input([None], dtype="int32")
    tgt_in = keras.Input([None], dtype="int32")
    memory = Mixer(16)(keras.layers.Embedding(src_vocab_size, 16)(src))
    query = Mixer(16)(keras.layers.Embedding(tgt_vocab_size, 16)(tgt_in))
    found = keras.layers.Attention()([query, memory])
    joined = keras.layers.Concatenate()([query, found])
    return keras.Model([src, tgt_in], keras.layers.Dense(tgt_vocab_size)(joined))
