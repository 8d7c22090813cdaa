import tensorflow as tf

from trainers import naming


class _Leaf(tf.Module):
    def __init__(self):
        super().__init__()
        self.kernel = tf.Variable(1.0)
        self._hidden = tf.Variable(2.0)


class _Tree(tf.Module):
    def __init__(self):
        super().__init__()
        self.second = _Leaf()
        self.first = [_Leaf(), {"x": _Leaf()}]
        self.tied = self.second


class _Own(tf.Module):
    def __init__(self):
        super().__init__()
        self.inside = tf.Variable(1.0)

    def variables_by_name(self):
        return {"mine": self.inside}


def test_names_are_paths_through_attributes_lists_and_dicts():
    assert set(naming.variables(_Tree())) == {
        "first/0/kernel",
        "first/1/x/kernel",
        "second/kernel",
    }


def test_a_variable_reached_twice_has_one_name():
    named = naming.variables(_Tree())
    assert len({id(variable) for variable in named.values()}) == len(named)


def test_a_module_may_name_its_own():
    tree = _Tree()
    tree.own = _Own()
    assert "own/mine" in naming.variables(tree)
    assert set(naming.variables(_Own())) == {"mine"}
