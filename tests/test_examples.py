"""The programs under `examples/`: each is started as a user would, killed, and started again."""

from __future__ import annotations

import importlib.util
import resource
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from checkpointkit import CheckpointManager, FileStore, MemoryStore, Schema

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

pytestmark = pytest.mark.usefixtures("unmeasured")

EXAMPLES = Path(__file__).parent.parent / "examples"


def load(name: str) -> ModuleType:
    """Import an example, as `python examples/...` would without running it."""
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # where annotations are looked up
    spec.loader.exec_module(module)
    return module


device_plugin = load("device_plugin")
daemon = load("daemon")


@contextmanager
def started(program: str, *arguments: object, **options: Any) -> Iterator[subprocess.Popen[str]]:
    """Run an example until the block ends; then it must have ended, or it is killed."""
    process = subprocess.Popen(
        [sys.executable, "-W", "error", EXAMPLES / program, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().rstrip("\n")


def ask(process: subprocess.Popen[str], line: str) -> str:
    assert process.stdin is not None
    process.stdin.write(line + "\n")
    process.stdin.flush()
    return said(process)


def rot(path: Path, old: bytes, new: bytes) -> None:
    data = path.read_bytes()
    assert old in data
    path.write_bytes(data.replace(old, new))


# ----------------------------------------------------------------------------- the device plugin


@pytest.fixture
def node(tmp_path: Path) -> Path:
    """What stands for the node: no pods yet."""
    pods = tmp_path / "pods"
    pods.mkdir()
    return pods


def allocations(store: FileStore) -> dict[str, tuple[str, ...]]:
    manager = CheckpointManager(store, device_plugin.ALLOCATIONS)
    return dict(manager.get(device_plugin.KEY).by_pod)


def test_a_plugin_that_is_killed_goes_on_where_it_was(tmp_path: Path, node: Path) -> None:
    state = tmp_path / "state"
    for pod in ("web", "db"):
        (node / pod).touch()
    with started("device_plugin.py", state, node) as plugin:
        assert said(plugin) == "ready"
        assert ask(plugin, "allocate web 2") == "web: gpu0 gpu1"
        plugin.send_signal(signal.SIGKILL)
    with started("device_plugin.py", state, node) as plugin:
        assert said(plugin) == "ready"
        assert ask(plugin, "allocate web 2") == "web: gpu0 gpu1"
        assert ask(plugin, "allocate db 1") == "db: gpu2"
        assert ask(plugin, "allocate job 2") == "job: refused: job wants 2, 1 are free"
        assert ask(plugin, "allocate job two") == "what is 'allocate job two'?"
        plugin.communicate()
        assert plugin.returncode == 0


def test_a_pod_that_is_gone_gives_its_devices_back(tmp_path: Path, node: Path) -> None:
    (node / "web").touch()
    with started("device_plugin.py", tmp_path / "state", node) as plugin:
        assert said(plugin) == "ready"
        assert ask(plugin, "allocate web 4") == "web: gpu0 gpu1 gpu2 gpu3"
        (node / "web").write_text("gpu0 gpu1 gpu2 gpu3")
        assert ask(plugin, "reconcile") == "reconciled"
        (node / "db").touch()
        assert ask(plugin, "allocate db 1") == "db: refused: db wants 1, 0 are free"
        (node / "web").unlink()
        assert ask(plugin, "reconcile") == "reconciled"
        assert ask(plugin, "allocate db 1") == "db: gpu0"


def test_after_rot_no_device_is_given_to_a_second_pod(tmp_path: Path, node: Path) -> None:
    state = tmp_path / "state"
    for pod in ("web", "db", "job"):
        (node / pod).touch()
    with started("device_plugin.py", state, node) as plugin:
        assert said(plugin) == "ready"
        assert ask(plugin, "allocate web 1") == "web: gpu0"
        assert ask(plugin, "allocate db 1") == "db: gpu1"
    (node / "web").write_text("gpu0")
    (node / "db").write_text("gpu1")
    rot(state / device_plugin.KEY / "current", b"gpu1", b"gpu3")
    with started("device_plugin.py", state, node) as plugin:
        assert said(plugin) == "ready"
        assert ask(plugin, "allocate job 1") == "job: gpu2"  # the older state knew no db
        _, logged = plugin.communicate()
    assert "recovered from generation 2" in logged
    assert allocations(FileStore(state)) == {"web": ("gpu0",), "db": ("gpu1",), "job": ("gpu2",)}


def test_a_state_of_a_newer_release_is_not_touched(tmp_path: Path, node: Path) -> None:
    newer = Schema(dict[str, int], kind=device_plugin.ALLOCATIONS.kind, version=9)
    CheckpointManager(FileStore(tmp_path / "state"), newer).create(device_plugin.KEY, {"n": 1})
    with started("device_plugin.py", tmp_path / "state", node) as plugin:
        _, logged = plugin.communicate()
        assert plugin.returncode == 1
    assert "cannot start" in logged
    assert "schema version 9" in logged


def test_two_plugins_on_one_state_share_the_devices(tmp_path: Path, node: Path) -> None:
    for pod in ("a", "b", "c", "d"):
        (node / pod).touch()
    state = tmp_path / "state"
    with (
        started("device_plugin.py", state, node) as one,
        started("device_plugin.py", state, node) as two,
    ):
        assert [said(one), said(two)] == ["ready", "ready"]
        answers = [ask(one, "allocate a 1"), ask(two, "allocate b 1")]
        answers += [ask(two, "allocate c 1"), ask(one, "allocate d 1")]
    assert answers == ["a: gpu0", "b: gpu1", "c: gpu2", "d: gpu3"]


def test_the_state_of_release_1_is_migrated() -> None:
    old = {"by_device": {"gpu1": "web", "gpu0": "web", "gpu2": "db"}}
    state = device_plugin.ALLOCATIONS.load(old, version=1)
    assert state == device_plugin.Allocations({"web": ("gpu0", "gpu1"), "db": ("gpu2",)})


def test_reconciling_what_agrees_writes_nothing() -> None:
    store = MemoryStore()
    pods = {"web": ("gpu0",)}
    plugin = device_plugin.DevicePlugin(store, lambda: pods)
    plugin.start()
    newest = store.history(device_plugin.KEY)[0]
    plugin.reconcile()
    assert store.history(device_plugin.KEY)[0] == newest


def test_a_pod_that_starts_keeps_its_devices_unless_another_one_uses_them() -> None:
    state = device_plugin.Allocations({"web": ("gpu0",), "db": ("gpu1",)})
    after = device_plugin.reconcile(state, {"web": (), "db": (), "job": ("gpu1",)})
    assert after.by_pod == {"web": ("gpu0",), "job": ("gpu1",)}


def test_what_is_saved_while_the_node_is_asked_stays() -> None:
    pods: dict[str, tuple[str, ...]] = {"web": (), "db": ()}

    def observe() -> dict[str, tuple[str, ...]]:
        if "db" in late:
            plugin.allocate(late.pop(), 1)
            del pods["web"]
        return pods

    late: set[str] = set()
    plugin = device_plugin.DevicePlugin(MemoryStore(), observe)
    plugin.start()
    plugin.allocate("web", 1)
    late.add("db")
    plugin.reconcile()
    assert plugin.allocate("db", 1) == ("gpu1",)  # not the one that web had a moment ago
    plugin.reconcile()
    assert plugin.allocate("job", 1) == ("gpu0",)


# ------------------------------------------------------------------------------------ the daemon


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_daemon_saves_and_ends_on_a_signal(tmp_path: Path, number: signal.Signals) -> None:
    state, file = tmp_path / "state", tmp_path / "log"
    file.write_text("one\ntwo\nthr")
    with started("daemon.py", state, file, 60) as process:
        assert said(process) == "ready at line 0"
        with file.open("a") as stream:
            stream.write("ee\nfour")
        process.send_signal(number)
        assert said(process) == f"{number.name}: ends at line 3"
        assert process.wait() == 0
    with started("daemon.py", state, file, 60) as process:
        assert said(process) == "ready at line 3"


def test_a_daemon_saves_by_itself_and_survives_a_kill(tmp_path: Path) -> None:
    state, file = tmp_path / "state", tmp_path / "log"
    file.write_text("one\ntwo\n")
    with started("daemon.py", state, file, 0.01) as process:
        assert said(process) == "ready at line 0"
        reader = None
        while reader is None or not reader.list():
            assert process.poll() is None
            reader = CheckpointManager(FileStore(state, read_only=True), daemon.POSITION)
        process.send_signal(signal.SIGKILL)
    with started("daemon.py", state, file) as process:
        assert said(process) == "ready at line 2"


def test_a_daemon_recovers_and_does_the_work_again(tmp_path: Path) -> None:
    state, file = tmp_path / "state", tmp_path / "log"
    file.write_text("one\n")
    worker = daemon.Daemon(CheckpointManager(FileStore(state), daemon.POSITION), file)
    assert worker.tick()
    file.write_text("one\ntwo\n")
    assert worker.tick()
    assert worker.tick()  # nothing new, nothing written
    assert [entry.generation for entry in FileStore(state).history(daemon.KEY)] == [2, 1]
    rot(state / daemon.KEY / "current", b'"lines":2', b'"lines":9')
    with started("daemon.py", state, file, 60) as process:
        assert said(process) == "ready at line 1"
        process.send_signal(signal.SIGTERM)
        assert said(process) == "SIGTERM: ends at line 2"
        _, logged = process.communicate()
    assert "recovered from generation 1" in logged


def test_a_daemon_whose_state_is_lost_says_so_and_does_not_begin_anew(tmp_path: Path) -> None:
    state, file = tmp_path / "state", tmp_path / "log"
    file.write_text("one\n")
    worker = daemon.Daemon(CheckpointManager(FileStore(state), daemon.POSITION), file)
    worker.tick()
    rot(state / daemon.KEY / "current", b'"lines":1', b'"lines":9')
    with started("daemon.py", state, file) as process:
        _, logged = process.communicate()
        assert process.returncode == 1
    assert "cannot start" in logged
    assert "no older generation is good" in logged


def test_a_daemon_goes_on_when_a_save_fails_and_says_so_at_the_end(tmp_path: Path) -> None:
    state, file = tmp_path / "state", tmp_path / "log"
    file.write_text("one\n")
    FileStore(state).close()

    def no_space() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))

    with started("daemon.py", state, file, 60, preexec_fn=no_space) as process:
        assert said(process) == "ready at line 0"
        process.send_signal(signal.SIGTERM)
        assert said(process) == "SIGTERM: ends at line 1"
        _, logged = process.communicate()
        assert process.returncode == 1
    assert "not saved" in logged
