"""Compiled code on disk: a second process compiles nothing, and nothing that lies there is trusted blindly."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import stat
import subprocess
import sys

import pytest

from torch_hpu import compile_cache, debug

# Trains a small net for three steps; prints its loss and the counters. Waits first until AHEAD recipes have been loaded beside its start, or until the
# word is said in LOG_FILE that AHEAD were not.
PROGRAM = """
import json, os, time, torch
from torch_hpu import compile_cache, metrics
torch.zeros(1).to("hpu")
ahead, log, deadline = int(os.environ.get("AHEAD", 0)), os.environ.get("LOG_FILE"), time.monotonic() + 120
def loaded():
    return open(log).read().count("not loaded") if log else metrics.snapshot()["ahead_loads"]
while loaded() < ahead and time.monotonic() < deadline:
    time.sleep(0.01)
before = metrics.snapshot()
torch.manual_seed(0)
rows = int(os.environ.get("ROWS", 8))
net = torch.nn.Sequential(torch.nn.Conv2d(2, 4, 3), torch.nn.Dropout(0.2), torch.nn.Flatten(), torch.nn.Linear(16, 32), torch.nn.GELU(approximate="tanh"),
                          torch.nn.LayerNorm(32), torch.nn.Linear(32, 4)).to("hpu")
optimizer = torch.optim.AdamW(net.parameters(), lr=1e-2)
x, y = torch.randn(rows, 2, 4, 4).to("hpu"), torch.arange(rows).remainder(4).to("hpu")
seen = torch.zeros(3, 4, device="hpu")
for i in range(3):
    out = net(x)
    seen[1:].mul_(0.5).add_(out[:2])  # in place, at an offset
    q = torch.linalg.qr(out.detach()[:4], mode="reduced")[0]  # an ATen kernel that is told a word
    loss = torch.nn.functional.cross_entropy(out, y) + q.sum() * 0.01
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    torch.hpu.mark_step()
values = {"loss": loss.item(), "seen": seen.tolist()}
print(json.dumps({**metrics.snapshot(), **values, "before": before, "enabled": compile_cache.enabled()}))
"""


def run(folder: pathlib.Path, **environment: str) -> dict:
    env = {
        **os.environ,
        "TORCH_HPU_CACHE_DIR": str(folder),
        "TORCH_HPU_CACHE_BYTES": str(1 << 26),
        "TORCH_HPU_TIER": "compiled",
        **environment,
    }
    log = env.get("LOG_FILE")
    with open(log, "w") if log else contextlib.nullcontext(subprocess.PIPE) as stderr:
        done = subprocess.run([sys.executable, "-c", PROGRAM], env=env, stdout=subprocess.PIPE, stderr=stderr, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return {**json.loads(done.stdout.splitlines()[-1]), "stderr": done.stderr}


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> tuple[pathlib.Path, dict]:
    folder = tmp_path_factory.mktemp("cache") / "private"
    return folder, run(folder)


def test_second_process_compiles_nothing(first) -> None:
    folder, counters = first
    assert counters["compilations"] > 0
    assert counters["code_compilations"] > 0
    again = run(folder)
    assert again["compilations"] == again["code_compilations"] == 0
    assert again["disk_hits"] == counters["compilations"]
    assert again["kernels"] == counters["kernels"]
    assert again["loss"] == counters["loss"]


def test_programs_of_the_last_run_are_loaded_ahead(tmp_path: pathlib.Path) -> None:
    folder = tmp_path / "cache"
    new = run(folder)
    n = new["compilations"]
    assert n > 0
    assert new["ahead_loads"] == new["ahead_hits"] == 0
    again = run(folder, AHEAD=str(n))
    assert again["ahead_loads"] == again["ahead_hits"] == again["disk_hits"] == n
    assert again["compilations"] == again["code_compilations"] == 0
    for same in ("loss", "seen", "kernels", "library_calls", "extern_calls"):
        assert again[same] == new[same]
    off = run(folder, TORCH_HPU_PREPARE="0")
    assert off["ahead_loads"] == off["ahead_hits"] == 0
    assert off["disk_hits"] == n
    # Other programs take their place.
    other = run(folder, AHEAD=str(n), ROWS="12")
    assert other["ahead_loads"] == n
    assert other["ahead_hits"] == 0
    assert other["compilations"] == n
    back = run(folder, AHEAD=str(n), ROWS="12")
    assert back["ahead_hits"] == back["disk_hits"] == n
    assert back["loss"] == other["loss"]


@pytest.mark.parametrize("missing", ["kernel", "choice"])
def test_nothing_is_compiled_or_timed_ahead(tmp_path: pathlib.Path, missing: str) -> None:
    folder = tmp_path / "cache"
    new = run(folder)
    files = list(folder.glob(f"{missing}-*"))
    assert files
    for file in files:
        file.unlink()
    again = run(folder, AHEAD="1", LOG_FILE=str(tmp_path / "log"), TORCH_HPU_LOG="1")
    assert "beside other work" in (tmp_path / "log").read_text()
    assert again["before"]["code_compilations"] == 0
    assert again["before"]["ahead_loads"] < new["compilations"]
    assert again["disk_hits"] == new["compilations"]
    assert again["loss"] == pytest.approx(new["loss"], abs=1e-5)
    assert {f.name for f in files} <= {f.name for f in folder.iterdir()}  # made by who needed them


def test_files_are_private(first) -> None:
    folder, _ = first
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    names = [f.name for f in folder.iterdir()]
    assert {n.split("-")[0] for n in names} >= {"kernel", "program"}
    assert all(stat.S_IMODE(f.stat().st_mode) == 0o600 for f in folder.iterdir())


def test_a_flipped_byte_means_recompile(first) -> None:
    folder, counters = first
    for file in folder.iterdir():
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 1
        file.write_bytes(content)
    with debug.option("cache_dir", str(folder)):
        assert not any(f.intact for f in compile_cache.files(check=True))
        assert compile_cache.main(["verify"]) == 1
    again = run(folder)
    assert again["compilations"] == counters["compilations"]
    assert again["code_compilations"] == counters["code_compilations"]
    assert again["loss"] == counters["loss"]
    with debug.option("cache_dir", str(folder)):
        assert compile_cache.main(["verify"]) == 0  # written anew


def test_a_truncated_file_means_recompile(first) -> None:
    folder, counters = first
    for file in folder.iterdir():
        file.write_bytes(file.read_bytes()[:50])
    assert run(folder)["loss"] == counters["loss"]


@pytest.mark.parametrize("mode", [0o755, 0o770], ids=["readable", "group"])
def test_a_folder_that_others_may_enter_is_not_used(tmp_path: pathlib.Path, mode: int) -> None:
    tmp_path.chmod(mode)
    counters = run(tmp_path)
    assert not counters["enabled"]
    assert "others may enter it" in counters["stderr"]
    assert counters["compilations"] > 0
    assert not list(tmp_path.iterdir())


def test_a_link_is_not_followed(tmp_path: pathlib.Path) -> None:
    real = tmp_path / "real"
    real.mkdir(mode=0o700)
    link = tmp_path / "link"
    link.symlink_to(real)
    counters = run(link)
    assert "not a folder" in counters["stderr"]
    assert not list(real.iterdir())


def test_size_is_bounded(tmp_path: pathlib.Path) -> None:
    folder = tmp_path / "small"
    counters = run(folder, TORCH_HPU_CACHE_BYTES="20000")
    assert counters["compilations"] > 0
    assert sum(f.stat().st_size for f in folder.iterdir()) < 20000 + 40000  # the cap, and what was written since it was last looked at


def test_prune_keeps_the_most_recently_used(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "cache"
    run(folder)
    with debug.option("cache_dir", str(folder)):
        files = compile_cache.files()
        assert [f.last_use for f in files] == sorted((f.last_use for f in files), reverse=True)
        assert compile_cache.main(["list"]) == 0
        listed = capsys.readouterr().out
        assert all(f.name in listed for f in files)
        kept = files[0]
        assert compile_cache.prune(kept.nbytes) == len(files) - 1
        assert [f.name for f in compile_cache.files()] == [kept.name]
        assert compile_cache.main(["prune"]) == 0
        assert not compile_cache.files()


def test_off_by_option(tmp_path: pathlib.Path) -> None:
    counters = run(tmp_path / "none", TORCH_HPU_CACHE_BYTES="0")
    assert not counters["enabled"]
    assert not (tmp_path / "none").exists()
