import numpy as np
import tensorflow as tf

from tests import decoding_requests, small_models
from trainers.decoding import beam, ensemble, greedy, rules
from trainers.models import transformer

SIZE = 20
ROWS = [[7, 8, 9, 10, 2], [11, 2, 0, 0, 0], [5, 6, 7, 2, 0]]


def _model(seed: int, layers: int = 1) -> transformer.Transformer:
    return transformer.Transformer(
        small_models.transformer_config(num_layers=layers),
        src_vocab_size=SIZE,
        tgt_vocab_size=SIZE,
        shared=True,
        rng=np.random.default_rng(seed),
    )


def _probabilities(model, tgt_ids) -> np.ndarray:
    """Of each target subword, with the model's own softmax in numpy, [B, T]."""
    state = model.start(tf.constant(ROWS))
    last, each = np.full(len(ROWS), 1), []
    for column in np.transpose(tgt_ids):
        logits, state = model.next_logits(tf.constant(last, tf.int32), state)
        odds = np.exp(logits.numpy().astype(float))
        all_probabilities = odds / odds.sum(axis=1, keepdims=True)
        each.append(all_probabilities)
        last = column
    return np.stack(each, axis=1)


def test_the_mean_of_probabilities_decides():
    models = [_model(1), _model(2, layers=2)]
    together = ensemble.Ensemble(models)
    targets = np.array([[5, 6, 2], [7, 8, 2], [9, 9, 2]], np.int32)
    forced = greedy.GreedyDecoder(together, allowed=rules.Rules(forced=True))
    found = forced(decoding_requests.of(ROWS, forced=targets))
    mean = np.mean([_probabilities(model, targets) for model in models], axis=0)
    each = np.take_along_axis(mean, targets[:, :, None], axis=2)[:, :, 0]
    np.testing.assert_allclose(
        found.log_probs[:, 0], np.log(each).sum(axis=1), rtol=1e-4
    )


def test_a_model_twice_says_what_it_says_once():
    model = _model(1)
    asked = decoding_requests.of(ROWS, limit=12)
    settings = {"beam_size": 3, "length_penalty": 1.0, "n_best": 2}
    once = beam.BeamDecoder(model, **settings)(asked)
    twice = beam.BeamDecoder(ensemble.Ensemble([model, model]), **settings)(asked)
    assert twice.ids.tolist() == once.ids.tolist()
    np.testing.assert_allclose(twice.log_probs, once.log_probs, atol=1e-4)
