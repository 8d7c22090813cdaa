"""The pipeline for your own model: a data directory as a `tf.data.Dataset`.

data = dataset.from_directory("runs/quickstart/data")
model = make_my_keras_model(data.src_vocab_size, data.tgt_vocab_size)
model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
model.fit(data.for_keras(), steps_per_epoch=data.steps_per_epoch, shuffle=False)
"""

from typing import NamedTuple

import tensorflow as tf

from pipeline import (
    batching,
    config,
    data_sources,
    input_pipeline,
    locations,
    mixing,
    vocabulary,
)
from pipeline import plan as plan_lib


class PlannedDataset(NamedTuple):
    """A split of a data directory, ready to be read.

    Attributes:
        source: Its files and the plan of its batches.
        src_vocab_size: Subwords of the source, special ones included.
        tgt_vocab_size: Subwords of the target.
    """

    source: data_sources.Source
    src_vocab_size: int
    tgt_vocab_size: int

    @property
    def steps_per_epoch(self) -> int:
        """Batches of the first epoch; of others a few more or fewer."""
        return self.source.plan.num_batches(0)

    def batches(
        self,
        start: plan_lib.Cursor = plan_lib.START,
        *,
        num_epochs: int | None = None,
    ) -> tf.data.Dataset:
        """Returns a Dataset of `batching.Batch`: src_ids, tgt_in_ids, tgt_out_ids.

        Args:
            start: The first batch; `source.plan.advance` goes from one to the next.
            num_epochs: Ends after so many epochs; endless if None.
        """
        return input_pipeline.batches(self.source, start, num_epochs=num_epochs)

    def for_keras(
        self,
        start: plan_lib.Cursor = plan_lib.START,
        *,
        num_epochs: int | None = None,
    ) -> tf.data.Dataset:
        """Returns the same as `keras.Model.fit` takes it.

        Keras would take the three fields of a bare batch for x, y and sample weights.

        Returns:
            Elements ((src_ids, tgt_in_ids), tgt_out_ids, weights), int32 [B, S],
            [B, T], [B, T], and float32 [B, T]: 1 for a token, 0 for padding.
        """
        return self.batches(start, num_epochs=num_epochs).map(_as_keras_takes_it)


def from_directory(
    data_dir: str,
    split: str = "train",
    batch: config.BatchConfig | None = None,
    *,
    seed: int = 1,
) -> PlannedDataset:
    """Plans the batches of a data directory made by `preprocessing.build`.

    Args:
        data_dir: Its path, or a URL that TensorFlow can read.
        split: `train`, `valid` or `test`.
        batch: Budgets and buckets, a mixture to train on; the defaults if None.
        seed: Of the order of the examples.

    Raises:
        exits.Refusal: If it cannot be read, or the settings leave nothing to read.
    """
    asked = batch or config.BatchConfig()
    home = locations.locate(data_dir)
    corpora = mixing.corpora_of(home, asked, split)
    entries = corpora[0].facts.pair_vocabularies()
    vocabularies = vocabulary.load(corpora[0].directory, entries)
    return PlannedDataset(
        source=data_sources.open_corpora(corpora, split, asked, seed=seed),
        src_vocab_size=vocabularies.src.size,
        tgt_vocab_size=vocabularies.tgt.size,
    )


def _as_keras_takes_it(
    batch: batching.Batch,
) -> tuple[tuple[tf.Tensor, tf.Tensor], tf.Tensor, tf.Tensor]:
    weights = tf.cast(batch.tgt_out_ids != vocabulary.PAD_ID, tf.float32)
    return (batch.src_ids, batch.tgt_in_ids), batch.tgt_out_ids, weights
