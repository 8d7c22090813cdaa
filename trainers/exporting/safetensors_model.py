"""safetensors: the bare weights, and a page that says what each is.

https://huggingface.co/docs/safetensors; read by PyTorch, JAX, Rust and others.
"""

import pathlib
from collections.abc import Mapping

import numpy as np
import safetensors.numpy

from pipeline import files
from trainers.models import config as model_config

_OUTPUT = "output_embedding/vectors"
FILENAME = "model.safetensors"
_NAMES = """\
`model.safetensors` has the weights by name. A name is a path of attributes with `/`
between them, as in the checkpoint it comes from; all weights are float32.

- `src_embedding/vectors`, `tgt_embedding/vectors`: a row for each subword. Where both
  sides share one vocabulary there is only the first. At the end there may be rows of
  zeros that belong to no subword, up to a multiple of 8.
- `.../kernel`, `.../bias`: of a product `x @ kernel + bias`. Kernels are [inputs,
  outputs], the transpose of PyTorch's `Linear.weight`.
- `.../scale`, `.../offset`: of a layer normalisation, epsilon 1e-6.
"""
_ROTARY = """\
- Embeddings are multiplied by sqrt(d_model). In attention {where}, queries and
  keys of a head are turned by their position p, from 0. With h half of a head's units
  and the rates r = 10000 ** (-i / h), unit i becomes x[i] cos(p r) - x[i + h] sin(p r),
  unit i + h becomes x[i + h] cos(p r) + x[i] sin(p r)."""
_POSITIONS = {
    "sinusoidal": """\
- Embeddings are multiplied by sqrt(d_model), then positions from 0 are added: position
  p is sin(p r) for the d_model / 2 rates r = 10000 ** (-i / (d_model / 2)), followed by
  cos(p r) for the same rates.""",
    "learned": """\
- Embeddings are multiplied by sqrt(d_model), then `src_positions/vectors` and
  `tgt_positions/vectors` are added, a row for each position from 0; positions after the
  last row share it.""",
    "rotary": _ROTARY.format(where="to the own side"),
    "rotary_all": _ROTARY.format(where="to both sides"),
}
_ACTIVATIONS = {
    "relu": "with ReLU between them",
    "gelu": "with GELU between them, x times the normal distribution function of x",
    "swiglu": "what `inner` puts out is cut in halves a and b; `outer` is given "
    "a * sigmoid(a) * b",
}
_OWN_OUTPUT = (
    "- The output layer is `output_embedding/vectors` transposed, without bias."
)
_TIED_OUTPUT = "- The output layer is the target embedding transposed, without bias."
_TRANSFORMER = """
In the Transformer, with the sizes and `norm` of `export.json`:

{positions}
- A source ends with EOS, a target begins with BOS.
- `encoder/<n>`, `decoder/<n>`: layers, from 0.
- `.../attention/{{query,key,value,output}}`: attention to the own side. Heads are equal
  consecutive parts of what query, key and value put out.
- `decoder/<n>/source_attention/...`: attention to what the encoder put out.
- `.../feed_forward/{{inner,outer}}`: {activation}.
- `.../{{attention,source,feed_forward}}_residual/norm`: before its sublayer where
  `norm` is pre, after the sum where it is post.
- `encoder_norm`, `decoder_norm`: after the last layer where `norm` is pre.
{output}
"""


def write(weights: Mapping[str, np.ndarray], directory: pathlib.Path) -> None:
    """Writes the weights, by name, into a directory."""
    content = safetensors.numpy.save(dict(weights), metadata={"format": "tf"})
    files.write_bytes(directory / FILENAME, content)


def page(config: model_config.ModelConfig, weights: Mapping[str, np.ndarray]) -> str:
    """Returns what the weights are called, as Markdown.

    Args:
        config: Of the model.
        weights: By name.
    """
    about = _NAMES
    if config.model == "transformer":
        about += _TRANSFORMER.format(
            positions=_POSITIONS[config.transformer.positions],
            activation=_ACTIVATIONS[config.transformer.activation],
            output=_OWN_OUTPUT if _OUTPUT in weights else _TIED_OUTPUT,
        )
    rows = [f"| `{name}` | {list(value.shape)} |" for name, value in weights.items()]
    return "\n".join([about, "| name | shape |", "|---|---|", *rows, ""])
