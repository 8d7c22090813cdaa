from trainers import loop


def test_each_step_takes_one_batch_and_then_every_action_in_order():
    said = []
    loop.run(
        lambda batch, rate: said.append(("step", batch, rate)),
        iter("abcdef"),
        lambda step: step / 10,
        [
            lambda step: said.append(("one", step)),
            lambda step: said.append(("two", step)),
        ],
        first_step=3,
        num_steps=4,
    )
    assert said == [
        ("step", "a", 0.3),
        ("one", 3),
        ("two", 3),
        ("step", "b", 0.4),
        ("one", 4),
        ("two", 4),
    ]


def test_a_finished_run_takes_no_step():
    loop.run(None, iter(()), None, [], first_step=5, num_steps=4)
