import numpy as np
import pytest

from pipeline import exits
from trainers import name_map


def test_what_a_star_matched_stands_in_its_place(tmp_path):
    path = tmp_path / "names"
    path.write_text(
        "# a comment\n\n"
        "model/encoder/layers/*/ffn/*/kernel   encoder/*/feed_forward/*/kernel\n"
        "model/norm  encoder_norm/scale\n"
    )
    tensors = {
        "model/encoder/layers/3/ffn/inner/kernel": np.ones(2),
        "model/norm": np.zeros(1),
        "optimizer/norm": np.zeros(1),
    }
    assert sorted(name_map.renamed(tensors, path)) == [
        "encoder/3/feed_forward/inner/kernel",
        "encoder_norm/scale",
    ]


def test_a_kernel_is_transposed_where_the_map_says_so(tmp_path):
    path = tmp_path / "names"
    path.write_text("model/*/kernel  *_embedding/vectors.T\nmodel/norm  norm\n")
    tensors = {"model/output/kernel": np.arange(6).reshape(2, 3), "model/norm": 1}
    found = name_map.renamed(tensors, path)
    assert found.keys() == {"output_embedding/vectors", "norm"}
    assert found["output_embedding/vectors"].tolist() == [[0, 3], [1, 4], [2, 5]]


@pytest.mark.parametrize("line", ["one", "a b c", "a b/*"])
def test_a_line_that_is_no_pair_of_names_is_refused(tmp_path, line):
    path = tmp_path / "names"
    path.write_text(f"\n{line}\n")
    with pytest.raises(exits.Refusal, match=f"{path}:2"):
        name_map.renamed({}, path)


def test_a_map_that_is_not_utf_8_is_bad_data(tmp_path):
    path = tmp_path / "names"
    path.write_bytes("# geschätzt\na b\n".encode("latin-1"))
    with pytest.raises(exits.Refusal, match=f"{path}: is not UTF-8") as error:
        name_map.renamed({}, path)
    assert error.value.code == exits.BAD_DATA
