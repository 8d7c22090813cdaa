import json

import pytest

from pipeline import exits
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
