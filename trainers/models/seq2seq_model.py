"""What our sequence-to-sequence models have in common: how their loss is made."""

import tensorflow as tf

from pipeline import batching
from trainers import losses, noise, r_drop
from trainers.models import config as model_config


class Seq2SeqModel(tf.Module):
    """A model that says what it gives the real target tokens of a batch."""

    def __init__(self, config: model_config.ModelConfig) -> None:
        """Args: config: of the model."""
        super().__init__()
        self._config = config

    def outputs(self, batch: batching.Batch, draw: noise.Noise) -> losses.Outputs:
        """Returns what is said of the real target tokens of a batch."""
        raise NotImplementedError

    def losses(
        self, batch: batching.Batch, *, smoothing: tf.Tensor, draw: noise.Noise
    ) -> losses.Losses:
        """Returns the loss over the real target tokens of a batch, in sums."""
        return r_drop.losses_of(
            self.outputs,
            batch,
            weight=self._config.r_drop,
            smoothing=smoothing,
            draw=draw,
        )
