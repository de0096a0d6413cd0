"""The compiled code that is kept on disk between processes.

python -m torch_hpu.compile_cache list           what lies there, the most recently used first
python -m torch_hpu.compile_cache verify         reads every file; exit status 1 when one is damaged
python -m torch_hpu.compile_cache prune [BYTES]  removes the least recently used files above BYTES in all (default: all files)
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import sys

from torch_hpu import _C


@dataclasses.dataclass(frozen=True)
class File:
    """``name``: what it holds, a dash, the hash of its key. ``last_use``: seconds since 1970. ``intact``: see :func:`files`."""

    name: str
    nbytes: int
    last_use: int
    intact: bool


def enabled() -> bool:
    """False when it is switched off (``TORCH_HPU_CACHE_BYTES=0``) or when its folder is not private."""
    return _C.compile_cache_enabled()


def folder() -> str:
    return _C.compile_cache_folder()


def files(check: bool = False) -> list[File]:
    """The files, the most recently used first. ``check`` reads each of them to find out whether it is intact."""
    return [File(*f) for f in _C.compile_cache_files(check)]


def prune(nbytes: int = 0) -> int:
    """Removes the least recently used files until at most ``nbytes`` are left; returns how many files went."""
    return _C.prune_compile_cache(nbytes)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="torch_hpu.compile_cache", description="The compiled code that is kept on disk between processes."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="what lies there, the most recently used first")
    commands.add_parser("verify", help="reads every file; exit status 1 when one is damaged")
    commands.add_parser("prune", help="removes the least recently used files").add_argument(
        "bytes", type=int, nargs="?", default=0, help="how many bytes may stay (default: 0)"
    )
    given = parser.parse_args(arguments)
    if given.command == "prune":
        print(f"{folder()}: {prune(given.bytes)} files removed")
        return 0
    found = files(check=given.command == "verify")
    damaged = [f for f in found if not f.intact]
    if given.command == "list":
        for f in found:
            print(f"{datetime.datetime.fromtimestamp(f.last_use):%Y-%m-%d %H:%M}  {f.nbytes:>10}  {f.name}")
    for f in damaged:
        print(f"damaged: {f.name}")
    state = f", {len(damaged)} damaged" if given.command == "verify" else ""
    print(f"{folder()}: {len(found)} files, {sum(f.nbytes for f in found)} bytes{state}{'' if enabled() else ' (not in use)'}")
    return 1 if damaged else 0


if __name__ == "__main__":
    sys.exit(main())
