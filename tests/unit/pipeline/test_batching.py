import numpy as np
import pytest
import tensorflow as tf

from pipeline import batching


def _dense(src, tgt, rows, src_length, tgt_length):
    return batching.to_dense(
        tf.ragged.constant(src, tf.int32, row_splits_dtype=tf.int64),
        tf.ragged.constant(tgt, tf.int32, row_splits_dtype=tf.int64),
        tf.constant(rows, tf.int64),
        tf.constant(src_length),
        tf.constant(tgt_length),
    )


def test_the_example_of_the_module_docstring():
    batch = _dense([[11, 12, 13]], [[21, 22]], [0], 5, 4)
    assert batch.src_ids.numpy().tolist() == [[11, 12, 13, 2, 0]]
    assert batch.tgt_in_ids.numpy().tolist() == [[1, 21, 22, 0]]
    assert batch.tgt_out_ids.numpy().tolist() == [[21, 22, 2, 0]]


def test_a_filler_row_has_a_source_eos_and_no_loss():
    batch = _dense([[11]], [[21]], [0, -1], 2, 3)
    assert batch.src_ids.numpy().tolist() == [[11, 2], [2, 0]]
    assert batch.tgt_in_ids.numpy().tolist() == [[1, 21, 0], [1, 0, 0]]
    assert batch.tgt_out_ids.numpy().tolist() == [[21, 2, 0], [0, 0, 0]]


def test_an_empty_side_is_only_eos():
    batch = _dense([[], [0]], [[21], [0]], [0], 1, 2)
    assert batch.src_ids.numpy().tolist() == [[2]]
    assert batch.tgt_out_ids.numpy().tolist() == [[21, 2]]


@pytest.mark.parametrize("seed", range(10))
def test_rows_are_those_chosen_whatever_their_order_and_padding(seed):
    draw = np.random.default_rng(seed)
    src, tgt = (
        [draw.integers(4, 99, draw.integers(1, 9)).tolist() for _ in range(20)]
        for _ in range(2)
    )
    rows = draw.choice(20, 7, replace=False)
    batch = _dense(src, tgt, rows, 9 + draw.integers(3), 9 + draw.integers(3))
    for index, row in enumerate(rows):
        one, into, out = (ids.numpy()[index].tolist() for ids in batch)
        assert one == [*src[row], 2] + [0] * (len(one) - len(src[row]) - 1)
        assert into == [1, *tgt[row]] + [0] * (len(into) - len(tgt[row]) - 1)
        assert out == [*tgt[row], 2] + [0] * (len(out) - len(tgt[row]) - 1)


def test_ids_are_int32_in_the_shape_of_the_signature():
    batch = _dense([[11]], [[21]], [0], 2, 2)
    for ids, spec in zip(batch, batching.SPEC, strict=True):
        assert spec.is_compatible_with(ids)
