"""Every example runs as it stands, in an empty folder, and says what it should."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SAYS = {
    "own_model.py": "leaves of 10 or more",
    "arrays_only.py": "LEAK FOUND",
    "torch_model.py": "LEAK FOUND",
    "own_attack.py": "median-margin: auc 0.",
    "median_margin.py": "",  # the attack that own_attack.py checks
    "guard/wrapped_model.py": "public   loss              auc 0.",
}


def test_every_example_is_run():
    found = [*(ROOT / "examples").glob("*.py"), *(ROOT / "examples" / "guard").glob("*.py")]
    assert {path.relative_to(ROOT / "examples").as_posix() for path in found} == set(SAYS)


@pytest.mark.slow
@pytest.mark.parametrize("name", SAYS)
def test_an_example_runs(name, tmp_path):
    env = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    command = [sys.executable, "-W", "error", str(ROOT / "examples" / name)]
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert SAYS[name] in done.stdout
