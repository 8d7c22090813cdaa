"""What every trainer does before its model is made: its directory, signals, devices."""

import contextlib
from collections.abc import Iterator

from pipeline import files, progress, runtime
from trainers import config, run_directory, signals


@contextlib.contextmanager
def opened(asked: config.TrainConfig) -> Iterator[signals.StopRequest]:
    """Holds the working directory while the block runs, with TensorFlow started.

    Yields:
        Whether the process was asked to stop; it is to `listen` again once TensorFlow
        has joined processes.

    Raises:
        exits.Refusal: If another run holds the directory.
    """
    workdir, worker = asked.run.workdir_path, asked.distribution.worker()
    progress.configure_logging(worker=worker.number)
    lock = run_directory.own(workdir, worker.number) / files.LOCK_NAME
    stop = signals.StopRequest()  # before the lock, by which others see that it runs
    with files.locked(lock, what=f"--workdir={workdir}"):
        runtime.start(
            deterministic=asked.run.deterministic,
            cpu_devices=asked.distribution.cpu_devices,
            find_devices=worker.num_workers == 1,
        )
        yield stop
