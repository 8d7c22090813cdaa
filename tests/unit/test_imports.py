"""Imports go one way: entry points -> {preprocessing, trainers} -> pipeline."""

import ast
import pathlib

ROOT = pathlib.Path(__file__).parents[2]
PACKAGES = ("flags", "pipeline", "preprocessing", "trainers")
ALLOWED = {
    "flags": set(),
    "pipeline": {"pipeline"},
    "preprocessing": {"preprocessing", "pipeline"},
    "trainers": {"trainers", "pipeline"},
}


def _modules() -> dict[str, pathlib.Path]:
    return {
        ".".join(path.relative_to(ROOT).with_suffix("").parts): path
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
    }


def _imports(path: pathlib.Path) -> set[str]:
    """Returns what of ours a file imports: modules, and packages' names."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in found if name.partition(".")[0] in PACKAGES}


def _is_entry_point(path: pathlib.Path) -> bool:
    return 'if __name__ == "__main__":' in path.read_text()


def test_the_entry_points_are_the_documented_ones():
    entries = {name for name, path in _modules().items() if _is_entry_point(path)}
    assert entries == {
        "pipeline.inspect",
        "preprocessing.build",
        "preprocessing.verify",
        "trainers.evaluate",
        "trainers.export",
        "trainers.launch",
        "trainers.predict",
        "trainers.report",
        "trainers.seq2seq",
        "trainers.seq2vec",
        "trainers.serve",
        "trainers.translate",
        "trainers.tune",
    }


def test_imports_go_one_way():
    wrong = []
    for name, path in _modules().items():
        package = name.partition(".")[0]
        allowed = ALLOWED[package] | ({"flags"} if _is_entry_point(path) else set())
        wrong += [
            f"{name} imports {other}"
            for other in _imports(path)
            if other.partition(".")[0] not in allowed
        ]
    assert not wrong


def test_nothing_imports_an_entry_point():
    modules = _modules()
    entries = {name for name, path in modules.items() if _is_entry_point(path)}
    wrong = [
        f"{name} imports {other}"
        for name, path in modules.items()
        for other in _imports(path) & entries
    ]
    assert not wrong


def test_flags_parse_without_tensorflow():
    """Modules that entry points import at their top must not import TensorFlow."""
    modules = _modules()
    reached = {name for name, path in modules.items() if _is_entry_point(path)}
    waiting = list(reached)
    heavy = []
    while waiting:
        name = waiting.pop()
        for node in ast.parse(modules[name].read_text()).body:
            if not isinstance(node, ast.Import | ast.ImportFrom):
                continue
            module = getattr(node, "module", None)
            names = [alias.name for alias in node.names]
            full = [f"{module}.{one}" for one in names] if module else names
            heavy += [f"{name}: {one}" for one in full if one.startswith("tensorflow")]
            for one in full:
                if one in modules and one not in reached:
                    reached.add(one)
                    waiting.append(one)
    assert not heavy
