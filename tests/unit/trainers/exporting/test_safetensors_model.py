import numpy as np
import safetensors

from tests import small_models
from trainers import naming
from trainers.exporting import safetensors_model


def test_every_weight_is_there_by_name_and_on_the_page(data_dir, tmp_path):
    both = small_models.vocabularies(data_dir)
    model = small_models.decisive_transformer(both)
    weights = {name: v.numpy() for name, v in naming.variables(model).items()}
    safetensors_model.write(weights, tmp_path)
    page = safetensors_model.page("transformer", weights)
    path = tmp_path / safetensors_model.FILENAME
    with safetensors.safe_open(path, framework="numpy") as file:
        assert set(file.keys()) == set(weights)
        for name, value in weights.items():
            np.testing.assert_array_equal(file.get_tensor(name), value)
            assert f"| `{name}` | {list(value.shape)} |" in page


def test_the_page_says_of_another_model_only_what_is_true_of_all():
    page = safetensors_model.page("rnn", {"a/kernel": np.zeros([2, 3])})
    assert "Transformer" not in page
    assert "| `a/kernel` | [2, 3] |" in page
