"""In which floating-point type a model computes."""

import tensorflow as tf

from trainers import machine

_AMX = "amx_bf16"
_AMPERE = (8, 0)  # the first compute capability with bfloat16 products


def dtype_of(asked: str) -> str:
    """Returns the type to compute in, for `auto` that of the hardware."""
    if asked != "auto":
        return asked
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        details = tf.config.experimental.get_device_details(gpus[0])
        capable = details.get("compute_capability", (0, 0)) >= _AMPERE
    else:
        capable = _AMX in machine.cpu_flags()
    return "bfloat16" if capable else "float32"


def precise(values: tf.Tensor) -> tf.Tensor:
    """Returns 16-bit floats as float32, others as they are.

    Sums over many values, softmax and normalisation lose too much in 16 bits:
    Micikevicius et al. 2018, https://arxiv.org/abs/1710.03740, section 3.3.
    """
    return tf.cast(values, tf.float32) if values.dtype.size < 4 else values
