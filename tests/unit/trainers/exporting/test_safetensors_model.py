import numpy as np
import pytest
import safetensors
import tensorflow as tf

from pipeline import batching, vocabulary
from tests import small_models
from trainers import naming, noise
from trainers.exporting import safetensors_model


def test_every_weight_is_there_by_name_and_on_the_page(data_dir, tmp_path):
    both = small_models.vocabularies(data_dir)
    model = small_models.decisive_transformer(both)
    weights = {name: v.numpy() for name, v in naming.variables(model).items()}
    safetensors_model.write(weights, tmp_path)
    page = safetensors_model.page(small_models.transformer_config(), weights)
    path = tmp_path / safetensors_model.FILENAME
    with safetensors.safe_open(path, framework="numpy") as file:
        assert set(file.keys()) == set(weights)
        for name, value in weights.items():
            np.testing.assert_array_equal(file.get_tensor(name), value)
            assert f"| `{name}` | {list(value.shape)} |" in page


def test_the_page_says_of_another_model_only_what_is_true_of_all():
    page = safetensors_model.page(
        small_models.config("rnn"), {"a/kernel": np.zeros([2, 3])}
    )
    assert "Transformer" not in page
    assert "| `a/kernel` | [2, 3] |" in page


def _rebuilt(weights, src, tgt, heads, *, turns_to_source):
    """The logits of a Transformer as its page describes it, by numpy alone, [T, V]."""

    def dense(x, path):
        return x @ weights[f"{path}/kernel"] + weights[f"{path}/bias"]

    def norm(x, path):
        mean, variance = x.mean(1, keepdims=True), x.var(1, keepdims=True)
        normal = (x - mean) / np.sqrt(variance + 1e-6)
        return normal * weights[f"{path}/scale"] + weights[f"{path}/offset"]

    def turned(x):  # [T, H, D/H]
        h = x.shape[2] // 2
        angles = np.arange(len(x))[:, None] * 10000.0 ** (-np.arange(h) / h)
        cos, sin = np.cos(angles)[:, None], np.sin(angles)[:, None]
        one, other = x[..., :h], x[..., h:]
        return np.concatenate([one * cos - other * sin, other * cos + one * sin], 2)

    def attention(x, memory, path, *, turns, causal):
        parts = ("query", x), ("key", memory), ("value", memory)
        query, key, value = (
            dense(y, f"{path}/{part}").reshape(len(y), heads, -1) for part, y in parts
        )
        if turns:
            query, key = turned(query), turned(key)
        scores = np.einsum("qhd,khd->hqk", query, key) / np.sqrt(query.shape[2])
        if causal:
            scores += -1e9 * np.triu(np.ones(scores.shape[1:]), 1)
        scores = np.exp(scores - scores.max(2, keepdims=True))
        scores /= scores.sum(2, keepdims=True)
        context = np.einsum("hqk,khd->qhd", scores, value).reshape(len(x), -1)
        return dense(context, f"{path}/output")

    def feed_forward(x, path):
        a, b = np.split(dense(x, f"{path}/inner"), 2, axis=1)
        return dense(a / (1 + np.exp(-a)) * b, f"{path}/outer")

    def stack(side, ids, memory=None):
        vectors = weights[f"{side}_embedding/vectors"]
        x = vectors[ids] * np.sqrt(vectors.shape[1])
        name = "encoder" if side == "src" else "decoder"
        for n in range(2):
            path, causal = f"{name}/{n}", side == "tgt"
            y = norm(x, f"{path}/attention_residual/norm")
            x = x + attention(y, y, f"{path}/attention", turns=True, causal=causal)
            if memory is not None:
                y = norm(x, f"{path}/source_residual/norm")
                inner = f"{path}/source_attention"
                x = x + attention(y, memory, inner, turns=turns_to_source, causal=False)
            y = norm(x, f"{path}/feed_forward_residual/norm")
            x = x + feed_forward(y, f"{path}/feed_forward")
        return norm(x, f"{name}_norm")

    states = stack("tgt", tgt, stack("src", src))
    return states @ weights["output_embedding/vectors"].T


@pytest.mark.parametrize("positions", ["rotary", "rotary_all"])
def test_a_model_is_built_again_from_its_page(positions, data_dir):
    both = small_models.vocabularies(data_dir)
    given = {
        "activation": "swiglu",
        "positions": positions,
        "tied_embeddings": "none",
        "num_layers": 2,
        "num_heads": 2,
    }
    model = small_models.decisive_transformer(both, strength=2, **given)
    weights = {name: v.numpy() for name, v in naming.variables(model).items()}
    page = safetensors_model.page(small_models.transformer_config(**given), weights)
    for told in ("are turned by", "a * sigmoid(a) * b", "`output_embedding/vectors`"):
        assert told in page
    assert "{" not in page.replace("{query,key,value,output}", "").replace(
        "{inner,outer}", ""
    ).replace("{attention,source,feed_forward}", "")
    src, tgt = [7, 9, 11, 5, vocabulary.EOS_ID], [vocabulary.BOS_ID, 6, 8, 10]
    expected = [*tgt[1:], vocabulary.EOS_ID]
    batch = batching.Batch(*(tf.constant([ids]) for ids in (src, tgt, expected)))
    ours = model.losses(batch, smoothing=tf.constant(0.0), draw=noise.NONE)
    turns_to_source = positions == "rotary_all"
    logits = _rebuilt(weights, src, tgt, heads=2, turns_to_source=turns_to_source)
    logits = logits[:, : both.tgt.size]
    log_z = np.log(np.exp(logits).sum(1))
    nll = (log_z - logits[np.arange(4), expected]).sum()
    assert nll == pytest.approx(float(ours.nll_sum), rel=1e-4)
