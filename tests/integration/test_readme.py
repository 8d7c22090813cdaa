"""What README shows is run as it stands there."""

import re
import subprocess
import sys

from tests import programs


def test_the_python_of_the_readme_runs(data_dir):
    readme = (programs.ROOT / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    assert blocks
    for block in blocks:
        assert '"runs/quickstart/data"' in block
        code = block.replace('"runs/quickstart/data"', repr(str(data_dir)))
        done = subprocess.run(
            [sys.executable, "-c", code],
            cwd=programs.ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert "loss" in done.stdout
