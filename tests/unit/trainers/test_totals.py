import tensorflow as tf

from pipeline import batching
from trainers import losses, totals

YES, NO = tf.constant(True), tf.constant(False)


def _values(kind, value, dtype):
    return kind(*(tf.constant(value, dtype) for _ in kind._fields))


def test_a_skipped_step_counts_as_such_alone_and_a_trial_not_at_all():
    found = totals.Totals()
    counts = _values(batching.Counts, 5, tf.int64)
    sums = _values(losses.Losses, 2.0, tf.float32)
    norm = tf.constant(3.0)
    found.count(counts, sums, norm, finite=YES, live=YES)
    bad = _values(losses.Losses, float("nan"), tf.float32)
    found.count(counts, bad, tf.constant(float("inf")), finite=NO, live=YES)
    found.count(counts, sums, norm, finite=YES, live=NO)
    wanted = {"gradient_norm": 3.0, "steps": 1.0, "skipped": 1.0}
    wanted |= dict.fromkeys(losses.Losses._fields, 2.0)
    wanted |= dict.fromkeys(batching.Counts._fields, 10.0)
    assert found.take() == wanted
    assert set(found.take().values()) == {0.0}
