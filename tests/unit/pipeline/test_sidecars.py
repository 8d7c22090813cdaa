import numpy as np
import pytest

from pipeline import exits, sidecars


def test_a_sidecar_of_another_size_is_refused(tmp_path):
    shard = tmp_path / "a.tfrecord"
    sidecar = sidecars.lengths_path(shard)
    sidecar.write_bytes(np.array([[1, 2], [3, 4]], "<u2").tobytes())
    assert sidecars.read_lengths(shard, 2).tolist() == [[1, 2], [3, 4]]
    with pytest.raises(exits.Refusal, match="8 bytes.* 3 records") as error:
        sidecars.read_lengths(shard, 3)
    assert error.value.code == exits.BAD_DATA


def test_a_sidecar_is_read_anew_each_time_it_is_asked_for(tmp_path):
    shard = tmp_path / "a.tfrecord"
    sidecar = sidecars.Sidecar(shard, 1)
    assert len(sidecar) == 1
    for pair in ([[1, 2]], [[3, 4]]):
        content = np.array(pair, "<u2").tobytes()
        sidecars.lengths_path(shard).write_bytes(content)
        assert np.asarray(sidecar).tolist() == pair
