"""jobs/slurm.sh under a real Slurm of one machine: preempted, queued again, finished.

Nothing is installed: where Debian's slurm-wlm and munge are missing, or this is not
root, which a daemon for any user must be, the tests are skipped.
"""

import contextlib
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from tests import programs, small_data, small_runs
from trainers import checkpoints

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(
        not all(map(shutil.which, ("munged", "slurmctld", "slurmd", "sbatch"))),
        reason="no Slurm here: apt-get install slurm-wlm munge",
    ),
    pytest.mark.skipif(os.geteuid() != 0, reason="Slurm's daemons need root"),
]

STEPS = 600
_DEADLINE_SECS = 300


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


@pytest.fixture(scope="module")
def slurm(tmp_path_factory) -> Iterator[dict[str, str]]:
    """The environment of a cluster of one node with a low and a high partition."""
    home = tmp_path_factory.mktemp("slurm")
    for name in ("state", "spool", "munge"):
        (home / name).mkdir(mode=0o700)
    key = home / "munge" / "key"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o400)
    munge = {
        f"--{name}": home / "munge" / name
        for name in ("socket", "pid-file", "log-file", "seed-file")
    }
    name = socket.gethostname().split(".")[0]
    configuration = home / "slurm.conf"
    configuration.write_text(
        f"""
ClusterName=test
SlurmctldHost={name}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthInfo=socket={munge["--socket"]}
StateSaveLocation={home}/state
SlurmdSpoolDir={home}/spool
SlurmctldPidFile={home}/slurmctld.pid
SlurmdPidFile={home}/slurmd.pid
SlurmctldLogFile={home}/slurmctld.log
SlurmdLogFile={home}/slurmd.log
SlurmctldPort={_free_port()}
SlurmdPort={_free_port()}
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=sched_interval=2,bf_interval=2
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
ReturnToService=2
NodeName={name} NodeAddr=127.0.0.1 CPUs=2 State=UNKNOWN
PartitionName=low Nodes=ALL Default=YES PriorityTier=1 GraceTime=60 State=UP
PartitionName=high Nodes=ALL PriorityTier=10 PreemptMode=OFF State=UP
"""
    )
    environment = {"SLURM_CONF": str(configuration), "PYTHON": sys.executable}
    flags = [f"{flag}={path}" for flag, path in munge.items()]
    everywhere = {**os.environ, **environment}
    with contextlib.ExitStack() as daemons:
        for command in (
            ["munged", "--force", "--foreground", f"--key-file={key}", *flags],
            ["slurmctld", "-D"],
            ["slurmd", "-D"],
        ):
            daemon = subprocess.Popen(
                command,
                env=everywhere,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            daemons.callback(daemon.wait, timeout=30)
            daemons.callback(daemon.terminate)
            if command[0] == "munged":
                _wait_for(munge["--socket"].exists)
        _wait_for(lambda: "idle" in _ask(environment, "sinfo", "--noheader"))
        yield environment


def _ask(environment: dict[str, str], *command: str) -> str:
    return subprocess.run(
        command,
        cwd=programs.ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    ).stdout


def _wait_for(ready: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _DEADLINE_SECS
    while not ready():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def _flags(data_dir: pathlib.Path, workdir: pathlib.Path, *more: str) -> list[str]:
    return [
        "trainers.seq2seq",
        *small_runs.flags(data_dir, workdir),
        "--num_buckets=3",
        "--plan_lanes=2",
        f"--num_steps={STEPS}",
        "--log_every_steps=10",
        "--eval_every_steps=0",
        "--save_every_steps=200",
        *more,
    ]


def _weights(workdir: pathlib.Path) -> dict[str, np.ndarray]:
    tensors, _ = checkpoints.read(checkpoints.path_of(workdir / "checkpoints", STEPS))
    return {n: v for n, v in tensors.items() if n.startswith("model/")}


def _submit(slurm: dict[str, str], *command: str) -> str:
    out = _ask(slurm, "sbatch", "--parsable", *command)
    assert out.strip().isdecimal(), out
    return out.strip()


def _facts(slurm: dict[str, str], job: str) -> dict[str, str]:
    text = _ask(slurm, "scontrol", "--oneliner", "show", "job", job)
    return dict(part.split("=", 1) for part in text.split() if "=" in part)


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory) -> pathlib.Path:
    return small_data.make(tmp_path_factory.mktemp("sharded"), num_shards=4)


@pytest.mark.parametrize(
    ("tasks", "more"), [(1, []), (2, ["--strategy=multiworker"])], ids=["one", "two"]
)
def test_a_preempted_job_goes_on_and_ends_as_if_it_had_not_been(
    slurm, data_dir, tmp_path, tasks, more
):
    whole = tmp_path / "whole"
    programs.succeed(
        "trainers.launch",
        f"--num_workers={tasks if more else 0}",
        "--",
        *_flags(data_dir, whole, *more),
    )
    workdir, log = tmp_path / "work", tmp_path / "log"
    port = f"--slurm_port={_free_port()}"
    job = _submit(
        slurm,
        f"--ntasks-per-node={tasks}",
        f"--ntasks={tasks}",
        "--partition=low",
        f"--output={log}",
        "jobs/slurm.sh",
        *_flags(data_dir, workdir, *more, *([port] if more else [])),
    )
    metrics = workdir / "metrics.jsonl"
    _wait_for(lambda: metrics.is_file() and '"step": 50,' in metrics.read_text())
    other = _submit(
        slurm, "--exclusive", "--partition=high", "--output=/dev/null", "--wrap=sleep 5"
    )
    _wait_for(lambda: _facts(slurm, job).get("Restarts") == "1")
    told = log.read_text()
    assert "stopped by SIGTERM" in told
    _wait_for(lambda: _facts(slurm, other)["JobState"] == "COMPLETED")
    _ask(slurm, "scontrol", "release", job)
    _wait_for(lambda: _facts(slurm, job)["JobState"] in ("COMPLETED", "FAILED"))
    assert _facts(slurm, job)["JobState"] == "COMPLETED", log.read_text()
    assert "resumed after step" in log.read_text()
    found, wanted = _weights(workdir), _weights(whole)
    for name, value in wanted.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)


STAND_IN = """
import os, sys, time
time.sleep(int(os.environ["SLURM_PROCID"]))
sys.exit({"0": 65, "1": 75}[os.environ["SLURM_PROCID"]])
"""


def test_what_one_task_refuses_ends_the_job_whatever_the_others_say(slurm, tmp_path):
    """The others end with 75, the higher code, once one has left them."""
    (tmp_path / "stand_in.py").write_text(STAND_IN)
    log = tmp_path / "log"
    job = _submit(
        {**slurm, "PYTHONPATH": str(tmp_path)},
        *("--ntasks-per-node=2", "--ntasks=2", f"--output={log}"),
        *("jobs/slurm.sh", "stand_in"),
    )
    _wait_for(lambda: _facts(slurm, job)["JobState"] in ("COMPLETED", "FAILED"))
    facts = _facts(slurm, job)
    assert (facts["Restarts"], facts["ExitCode"]) == ("0", "65:0"), log.read_text()
