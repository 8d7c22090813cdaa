"""safetensors: the bare weights, and a page that says what each is.

https://huggingface.co/docs/safetensors; read by PyTorch, JAX, Rust and others.
"""

import pathlib
from collections.abc import Mapping

import numpy as np
import safetensors.numpy

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
_TRANSFORMER = """
In the Transformer, with the sizes and `norm` of `export.json`:

- Embeddings are multiplied by sqrt(d_model), then positions from 0 are added: position
  p is sin(p r) for the d_model / 2 rates r = 10000 ** (-i / (d_model / 2)), followed by
  cos(p r) for the same rates. A source ends with EOS, a target begins with BOS.
- `encoder/<n>`, `decoder/<n>`: layers, from 0.
- `.../attention/{query,key,value,output}`: attention to the own side. Heads are equal
  consecutive parts of what query, key and value put out.
- `decoder/<n>/source_attention/...`: attention to what the encoder put out.
- `.../feed_forward/{inner,outer}`: with ReLU between them.
- `.../{attention,source,feed_forward}_residual/norm`: before its sublayer where `norm`
  is pre, after the sum where it is post.
- `encoder_norm`, `decoder_norm`: after the last layer where `norm` is pre.
- The output layer is the target embedding transposed, without bias.
"""


def write(weights: Mapping[str, np.ndarray], directory: pathlib.Path) -> None:
    """Writes the weights, by name, into a directory."""
    content = safetensors.numpy.save(dict(weights), metadata={"format": "tf"})
    (directory / FILENAME).write_bytes(content)


def page(model: str, weights: Mapping[str, np.ndarray]) -> str:
    """Returns what the weights are called, as Markdown.

    Args:
        model: The kind of model, as in --model.
        weights: By name.
    """
    about = _NAMES + (_TRANSFORMER if model == "transformer" else "")
    rows = [f"| `{name}` | {list(value.shape)} |" for name, value in weights.items()]
    return "\n".join([about, "| name | shape |", "|---|---|", *rows, ""])
