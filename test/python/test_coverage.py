"""docs/coverage.md is what tools/coverage.py writes now, and every op that is not compiled has a reason there."""

from __future__ import annotations

import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]


def test_page_is_current() -> None:
    result = subprocess.run([sys.executable, ROOT / "tools" / "coverage.py", "--check"], check=False, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
