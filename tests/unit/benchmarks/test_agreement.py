from tests.benchmarks import agreement


def test_errors_are_counted_by_model_and_together():
    known = [["A b"], ["c", "d"], ["E"], ["f g"]]
    said = [["E b", "d", "x", "f"], ["A b", "x", "x", "g"]]
    assert agreement.compared(said, known, {"A", "E"}) == {
        "wrong": [3, 3],
        "alike": [1, 0],
        "all": 2,
        "same": 1,
    }
