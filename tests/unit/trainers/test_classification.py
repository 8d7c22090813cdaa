import numpy as np
import pytest
import tensorflow as tf
from sklearn import metrics

from pipeline import batching, config, data_sources, manifest, mixing, records
from tests import small_labels
from trainers import class_baselines, classification


@pytest.mark.parametrize("seed", range(8))
def test_accuracy_and_macro_f1_are_those_of_scikit_learn(seed):
    draw = np.random.default_rng(seed)
    labels, said = draw.integers(4, size=(2, 12))  # some classes may not occur
    confusions = np.zeros((5, 5), np.int64)
    np.add.at(confusions, (labels, said), 1)
    outcome = classification.Outcome(0.0, confusions)
    assert outcome.accuracy == pytest.approx(metrics.accuracy_score(labels, said))
    wanted = metrics.f1_score(labels, said, average="macro", zero_division=0)
    assert outcome.macro_f1 == pytest.approx(wanted)


class _Table(tf.Module):
    """Scores that are looked up by the first id of a text."""

    def __init__(self):
        super().__init__()
        self.scores = tf.constant(
            np.random.default_rng(0).normal(size=(9, 3)), "float32"
        )

    def logits(self, src_ids, draw):
        return tf.gather(self.scores, src_ids[:, 0])


def test_the_step_counts_real_texts_over_all_batches():
    model = _Table()
    step = classification.ClassificationStep(model, 3)
    labels = np.array([0, 1, 2, 0, 1, 1, 2])
    ids = np.arange(7).astype(np.int32)
    shares = np.eye(3, dtype=np.float32)[labels]

    def batch(rows, width, fillers):
        src = np.zeros((len(rows) + fillers, width), np.int32)
        src[: len(rows), 0] = ids[rows]
        targets = np.concatenate([shares[rows], np.zeros((fillers, 3), np.float32)])
        return batching.LabelBatch(tf.constant(src), tf.constant(targets))

    outcome = step([batch([0, 1, 2, 3], 2, 2), batch([4, 5, 6], 5, 0)])
    logits = model.scores.numpy()[:7].astype(float)
    log_p = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    assert outcome.loss == pytest.approx(-log_p[np.arange(7), labels].mean(), rel=1e-5)
    wanted = metrics.confusion_matrix(labels, logits.argmax(axis=1), labels=range(3))
    np.testing.assert_array_equal(outcome.confusions, wanted)
    assert step.num_traces == 1


def test_classes_of_a_mixture_are_balanced_as_an_epoch_has_them(tmp_path):
    """FAULTS: what is counted is what is read, not what stands in the files."""
    whole = small_labels.make(tmp_path / "whole")
    facts = manifest.read(whole)
    few = small_labels.make(tmp_path / "few", count=60, seed=5)
    corpora = [
        mixing.Corpus(whole, facts, 0.5),
        mixing.Corpus(few, manifest.read(few), 3.0),
    ]
    one = config.BatchConfig(batch_rows=1)
    source = data_sources.open_corpora(corpora, "train", one, seed=0)
    found = classification.balanced_weights(source, 3)
    counts = sum(
        corpus.rate * np.bincount(records.read_label_ids(path), minlength=3)
        for corpus in corpora
        for path in corpus.facts.shard_paths(corpus.directory, "train")
    )
    np.testing.assert_allclose(found, counts.sum() / 3 / counts)
    assert found @ counts / counts.sum() == pytest.approx(1.0)


def test_the_majority_is_that_of_training():
    found = class_baselines.majority(np.array([2, 2, 0]), np.array([0, 0, 2, 1]), 3)
    assert found["accuracy"] == 0.25
    assert found["macro_f1"] == pytest.approx((2 * 1 / 5) / 3)


def test_the_linear_baseline_learns_a_word_and_gives_up_where_there_is_none():
    texts = ["a cat", "the dog", "cat here", "dog there"] * 5
    labels = np.array([0, 1, 0, 1] * 5)
    found = class_baselines.linear(
        texts, labels, ["one cat", "my dog"], np.array([0, 1]), 2
    )
    assert found == {"accuracy": 1.0, "macro_f1": 1.0}
    nothing = np.array([0, 1])
    assert class_baselines.linear(["", ""], nothing, [""], nothing[:1], 2) is None
    same = np.array([1, 1])
    assert class_baselines.linear(["a", "b"], same, ["a"], same[:1], 2) is None
