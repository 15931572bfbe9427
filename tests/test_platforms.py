"""Other platforms, played in a process of its own: what is missing there is taken away first."""

from __future__ import annotations

import subprocess
import sys

WINDOWS = """
import os, sys
import cattrs, filelock, json, logging, random, tempfile, threading  # while the platform is whole

for name in ("fchmod", "link", "pread", "pwrite", "ftruncate", "fstatvfs", "register_at_fork",
             "O_NOFOLLOW", "O_DIRECTORY", "O_CLOEXEC", "O_NONBLOCK", "O_PATH"):
    delattr(os, name)
os.supports_dir_fd = set()
sys.modules["fcntl"] = None
sys.platform = "win32"

from checkpointkit import CheckpointManager, FileStore, MemoryStore, Schema, StoreError

manager = CheckpointManager(MemoryStore(), Schema(dict[str, int], kind="a/b", version=1))
manager.create("a", {"n": 1})
print(manager.get("a"))
with tempfile.TemporaryDirectory() as directory:
    path = os.path.join(directory, "store")
    try:
        FileStore(path)
    except StoreError as error:
        print(error)
    print(os.path.exists(path))
"""

MACOS = """
import os, sys, types
sys.platform = "darwin"
calls = []
sys.modules["fcntl"] = types.SimpleNamespace(
    F_FULLFSYNC=51, fcntl=lambda fd, command: calls.append((fd, command))
)
from checkpointkit.stores.files.system import SystemCalls

SystemCalls().fsync(7)
print(calls)
"""


def play(script: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_on_windows_the_package_imports_memory_works_and_files_say_what_they_need() -> None:
    value, refusal, left_behind = play(WINDOWS).splitlines()
    assert value == "{'n': 1}"
    assert "needs a POSIX system" in refusal
    assert "MemoryStore" in refusal
    assert left_behind == "False"


def test_on_macos_a_sync_goes_through_the_cache_of_the_drive() -> None:
    assert play(MACOS) == "[(7, 51)]\n"
