import json
import os
import signal
import subprocess
import sys
import time

import pytest

from pipeline import exits
from tests import programs
from trainers import launch


def test_each_worker_is_told_of_all_and_of_itself():
    told = [json.loads(one["TF_CONFIG"]) for one in launch.environments(3)]
    hosts = told[0]["cluster"]["worker"]
    assert len(set(hosts)) == 3
    assert all(host.startswith("127.0.0.1:") for host in hosts)
    for number, one in enumerate(told):
        assert one["cluster"]["worker"] == hosts
        assert one["task"] == {"type": "worker", "index": number}
    assert launch.environments(0) == [{}]


@pytest.mark.parametrize(
    ("codes", "code"),
    [
        ([0, 0], exits.DONE),
        ([75, 75], exits.PREEMPTED),
        ([-9, 75], exits.PREEMPTED),  # killed, and the other noticed
        ([-6, -9], exits.PREEMPTED),  # and the other was aborted
        ([-9, 78], exits.MISMATCH),  # refused, and killed for it
        ([75, 70], exits.DIVERGED),
        ([-11, 75], exits.BUG),
        ([1, -6], exits.BUG),
        ([-15], exits.PREEMPTED),
    ],
)
def test_what_a_worker_refused_counts_and_a_lost_one_is_tried_again(codes, code):
    assert launch.exit_code(codes) == code


def _start(tmp_path, code, *flags):
    """Starts a launcher of workers that run some code, in a group of its own."""
    (tmp_path / "stand_in.py").write_text(code)
    return subprocess.Popen(
        [sys.executable, "-m", "trainers.launch", *flags, "--", "stand_in"],
        cwd=programs.ROOT,
        env={**os.environ, "PYTHONPATH": f"{tmp_path}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


COUNTS = """
import json, os, pathlib, select, signal, sys, time
there, here = os.pipe()
os.set_blocking(here, False)
signal.set_wakeup_fd(here)  # a byte for each, where Python would take two for one
signal.signal(signal.SIGINT, lambda *_: None)
number = json.loads(os.environ["TF_CONFIG"])["task"]["index"]
(pathlib.Path(__file__).parent / f"ready-{number}").touch()
first = os.read(there, 1)
time.sleep(1.5)
more = os.read(there, 9) if select.select([there], [], [], 0)[0] else b""
os.write(1, b"%d\\n" % len(first + more))  # whole, beside what the other one writes
sys.exit(75)
"""


def test_ctrl_c_at_a_terminal_reaches_each_worker_once(tmp_path):
    """FAULTS 39: a second one would end it in the midst of its save."""
    with _start(tmp_path, COUNTS, "--num_workers=2") as launcher:
        programs.wait_until(lambda: len(list(tmp_path.glob("ready-*"))) == 2, launcher)
        launcher.send_signal(signal.SIGSTOP)  # so that it passes on later
        os.killpg(launcher.pid, signal.SIGINT)  # as a terminal does
        time.sleep(0.3)
        launcher.send_signal(signal.SIGCONT)
        out, err = launcher.communicate(timeout=60)
    assert out.split() == ["1", "1"], err
    assert launcher.returncode == 75


@pytest.mark.parametrize(
    ("code", "ended"), [(65, 165), (78, 178), (1, 101), (75, 75), (0, 0)]
)
def test_a_refusal_can_outrank_a_task_that_was_left_alone(tmp_path, code, ended):
    with _start(tmp_path, f"exit({code})", "--refusal_offset=100") as launcher:
        assert launcher.wait(timeout=60) == ended


def test_a_signal_that_came_before_a_worker_reaches_it():
    """Or it would go on alone when its launcher has been told to end."""
    sleeping = [sys.executable, "-c", "import time; time.sleep(60)"]
    with subprocess.Popen(sleeping) as one, subprocess.Popen(sleeping) as other:
        signals = [signal.SIGTERM]
        try:
            codes = launch._wait([one, other], signals, grace_secs=30)
        finally:
            one.kill()
            other.kill()
    assert codes == [-signal.SIGTERM, -signal.SIGTERM]
    assert signals == []
