import numpy as np
import pytest

from trainers.models import build
from trainers.models import config as model_config


def _make(ties, *, shared):
    asked = model_config.ModelConfig(
        model="rnn",
        d_model=8,
        num_layers=1,
        transformer=model_config.TransformerConfig(tied_embeddings=ties),
    )
    return build.sized(
        asked,
        src_vocab_size=8,
        tgt_vocab_size=8,
        shared=shared,
        rng=np.random.default_rng(1),
    )


@pytest.mark.parametrize(
    ("shared", "honoured"), [(True, ("auto", "all")), (False, ("auto", "output"))]
)
@pytest.mark.parametrize("ties", ["auto", "all", "output", "input", "none"])
def test_ties_that_a_recurrent_model_does_not_have_are_refused(ties, shared, honoured):
    if ties in honoured:
        model = _make(ties, shared=shared)
        assert (model.src_embedding is model.tgt_embedding) == shared
    else:
        with pytest.raises(ValueError, match=f"--tied_embeddings={ties} is not for"):
            _make(ties, shared=shared)
