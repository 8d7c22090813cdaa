"""The machine a run is on, as far as bits and speed depend on it."""

import os
import pathlib

import tensorflow as tf
from tensorflow.python.client import device_lib

from trainers import clock

_CGROUP_LIMIT = pathlib.Path("/sys/fs/cgroup/memory.max")
_THREADS = (
    "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS",
    "OMP_NUM_THREADS",
)


def describe(num_replicas: int = 1) -> dict[str, str]:
    """Returns what the bits of a run depend on besides its flags and data."""
    devices = tf.config.list_physical_devices()
    gpus = [device for device in devices if device.device_type == "GPU"]
    details = [tf.config.experimental.get_device_details(gpu) for gpu in gpus]
    return {
        "tensorflow": tf.__version__,
        "keras": tf.keras.__version__,
        "cuda": str(tf.sysconfig.get_build_info().get("cuda_version", "")),
        "devices": ",".join(sorted(device.device_type for device in devices)),
        "gpus": ",".join(str(found.get("device_name", "")) for found in details),
        "cpu": _cpu_info().get("model name", ""),
        "cpus": str(os.cpu_count()),
        "threads": " ".join(
            f"{name}={os.environ[name]}" for name in _THREADS if name in os.environ
        ),
        "onednn": os.environ.get("TF_ENABLE_ONEDNN_OPTS", ""),
        "replicas": str(num_replicas),
    }


def differences(before: dict[str, str], now: dict[str, str]) -> dict[str, str]:
    """Returns what is not as it was, by name; older versions knew less of a machine.

    >>> differences({"cpus": "2"}, {"cpus": "4", "replicas": "1", "gpus": "A"})
    {'cpus': '2 -> 4'}
    """
    before = {"replicas": "1", **before}
    return {
        name: f"{before[name]} -> {value}"
        for name, value in now.items()
        if before.get(name, value) != value
    }


def room_bytes() -> float:
    """Returns the memory that this process may hold: a GPU's, else the machine's.

    On a machine it is what is free now and what this process has already, and no more
    than a container's limit.
    """
    devices = [
        device
        for device in device_lib.list_local_devices()
        if device.device_type == "GPU"
    ]
    if devices:
        return float(min(device.memory_limit for device in devices))
    fields = dict(
        line.split(":") for line in _text(pathlib.Path("/proc/meminfo")).splitlines()
    )
    free = 1024 * int(fields.get("MemAvailable", "0 kB").split()[0])
    limit = _text(_CGROUP_LIMIT).strip()
    here = free + clock.peak_rss_mb() * 2**20
    return min(here, float(limit)) if limit.isdecimal() else here


def peak_bytes() -> float:
    """Returns the most memory held so far where the step runs."""
    if tf.config.list_physical_devices("GPU"):
        return float(tf.config.experimental.get_memory_info("GPU:0")["peak"])
    return clock.peak_rss_mb() * 2**20


def cpu_flags() -> set[str]:
    """Returns the instruction sets that Linux says the processor has."""
    return set(_cpu_info().get("flags", "").split())


def _cpu_info() -> dict[str, str]:
    """Returns what Linux says of the first processor; nothing elsewhere."""
    first = _text(pathlib.Path("/proc/cpuinfo")).partition("\n\n")[0]
    pairs = (line.partition(":") for line in first.splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}


def _text(path: pathlib.Path) -> str:
    """Returns what a file of the system says; nothing where there is none."""
    return path.read_text(encoding="utf-8") if path.is_file() else ""
