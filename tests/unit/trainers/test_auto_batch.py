import pytest

from pipeline import config
from trainers import auto_batch

MIB = 2**20


def _machine(base_mib, per_token_kib):
    tried = []

    def peak_bytes(tokens):
        tried.append(tokens)
        return base_mib * MIB + per_token_kib * 1024 * tokens

    return peak_bytes, tried


@pytest.mark.parametrize("room_mib", [4000, 16_000, 80_000])
@pytest.mark.parametrize("per_token_kib", [20, 150])
def test_the_budget_found_fills_four_fifths_of_the_memory(room_mib, per_token_kib):
    peak_bytes, tried = _machine(900, per_token_kib)
    found = auto_batch.fit(
        peak_bytes, room_bytes=room_mib * MIB, least=100, epoch_tokens=10**12
    )
    assert tried == [4096, 8192]
    assert found % 256 == 0
    used = peak_bytes(found) / (room_mib * MIB)
    assert used <= 0.8 + 1e-9
    assert peak_bytes(found + 256) / (room_mib * MIB) > 0.8


def test_it_does_not_outgrow_the_data():
    peak_bytes, _ = _machine(900, 20)
    room = 10**6 * MIB
    found = auto_batch.fit(peak_bytes, room_bytes=room, least=100, epoch_tokens=10**6)
    assert found == 10**6 // 100 // 256 * 256
    small = auto_batch.fit(peak_bytes, room_bytes=room, least=100, epoch_tokens=5000)
    assert small == 4096


def test_what_a_budget_must_have_it_has_whatever_the_memory():
    peak_bytes, tried = _machine(4000, 900)
    found = auto_batch.fit(
        peak_bytes, room_bytes=1000 * MIB, least=6000, epoch_tokens=10**9
    )
    assert found == 6000
    assert tried == [6000, 12_000]


@pytest.mark.parametrize(
    ("asked", "least"),
    [
        ({}, 600 + 7),
        ({"bucket_multiple": 1}, 600),
        ({"plan_lanes": 8, "row_multiple": 2}, 8 * 607),
        ({"max_length": 8192}, 8192),
    ],
)
def test_a_budget_has_room_for_what_a_batch_must_hold(asked, least):
    batch = config.BatchConfig(tokens_per_batch="auto", **asked)
    assert auto_batch.least_tokens(batch, 600, 8) == least
