"""The machine a run is on, as far as bits and speed depend on it."""

import os
import pathlib

import tensorflow as tf


def describe() -> dict[str, str]:
    """Returns what the bits of a run depend on besides its flags and data."""
    devices = [device.device_type for device in tf.config.list_physical_devices()]
    return {
        "tensorflow": tf.__version__,
        "devices": ",".join(sorted(devices)),
        "cpu": _cpu_info().get("model name", ""),
        "cpus": str(os.cpu_count()),
        "onednn": os.environ.get("TF_ENABLE_ONEDNN_OPTS", ""),
    }


def cpu_flags() -> set[str]:
    """Returns the instruction sets that Linux says the processor has."""
    return set(_cpu_info().get("flags", "").split())


def _cpu_info() -> dict[str, str]:
    """Returns what Linux says of the first processor; nothing elsewhere."""
    path = pathlib.Path("/proc/cpuinfo")
    if not path.is_file():
        return {}
    first = path.read_text(encoding="utf-8").partition("\n\n")[0]
    pairs = (line.partition(":") for line in first.splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}
