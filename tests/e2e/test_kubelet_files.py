"""The kubelet's own files: it takes what we write, and refuses what we say that it refuses."""

from __future__ import annotations

import os
import re
from contextlib import closing, contextmanager
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import pytest
from attrs import frozen

from checkpointkit import CheckpointManager
from checkpointkit.kubelet import DEVICES, CpuStateV2, DeviceData, DeviceState, KubeletStore, cpu_v2
from checkpointkit.kubelet.cpusets import format_cpus, parse_cpus
from checkpointkit.kubelet.explain import Cause, explain
from checkpointkit.kubelet.formats import CPU_V2, FILES
from checkpointkit.kubelet.gotext import quote
from checkpointkit.kubelet.verdicts import render
from tests.e2e.alone import CONTAINER, POD, ROOT, Alone, Start
from tests.e2e.binaries import KUBERNETES, cache
from tests.e2e.cluster import BINARIES
from tests.e2e.needs import missing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

pytestmark = [pytest.mark.e2e, pytest.mark.root]

_CPUS: Final = "cpu_manager_state"
_PLUGINS: Final = "device-plugins"
_DEVICES: Final = "kubelet_internal_checkpoint"
_KUBELET: Final = (
    f"--kubelet-version={KUBERNETES}",
    "--feature-gate=PodLevelResourceManagers=false",
)
_STATUS: Final[Mapping[str, int | None]] = MappingProxyType(
    {"exits": 1, "panics": 2, "logs it and goes on": None}
)
"""What `at_start` may say that the kubelet does, and its exit status then."""


@frozen
class Machine:
    """What the CPU manager's policy is here, and why; the CPUs that it knows, if it is static."""

    policy: str
    why: str
    cpus: tuple[int, ...]

    @property
    def own(self) -> str:
        """The CPU that the container gets for itself; none without the static policy."""
        return str(self.cpus[-1]) if self.policy == "static" else ""

    def state(self) -> CpuStateV2:
        """Return a state that a kubelet of this policy agrees with."""
        if self.policy == "none":
            return CpuStateV2("none", "", {})
        return CpuStateV2("static", format_cpus(self.cpus[:-1]), {POD: {CONTAINER: self.own}})


@frozen
class File:
    """A file at one moment: what is in it, and which one it is."""

    data: bytes
    inode: int


@frozen
class Refusal:
    """What `repair` has done while the kubelet ran, and the copies that there are."""

    status: int
    file: dict[str, Any]
    copies: list[str]


@frozen
class Taken:
    """A kubelet was started on a file that we wrote, and has ended again."""

    alone: Alone
    machine: Machine
    written: File
    start: Start
    kept: File
    state: CpuStateV2
    refusal: Refusal

    @property
    def path(self) -> Path:
        return self.alone.at(_CPUS)

    def verify(self, name: str, policy: str = "") -> tuple[int, dict[str, Any]]:
        """Return what `verify` says of a file on the node: its exit status, and all of it."""
        configured = f"--policy={policy or self.machine.policy}"
        status, told = self.alone.run("verify", *_KUBELET, configured, f"{ROOT}/{name}")
        (file,) = told["files"]
        return status, file

    @contextmanager
    def damaged(self, name: str, change: Callable[[bytes], bytes]) -> Iterator[None]:
        """Have another file there for a while."""
        path = self.alone.at(name)
        good = path.read_bytes()
        assert change(good) != good
        path.write_bytes(change(good))
        try:
            yield
        finally:
            path.write_bytes(good)


@frozen
class Mended:
    """A flipped bit was corrected by `repair`, and the copy was moved over the file."""

    status: int
    start: Start
    data: bytes


def _flip(data: bytes) -> bytes:
    """Flip a bit in the last digit of the checksum."""
    at = max(data.rfind(b"%d" % digit) for digit in range(10))
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def _edit(data: bytes) -> bytes:
    """Change the CPUs that are shared, as by hand: the checksum is stale then."""
    return data.replace(b'"defaultCpuSet":"', b'"defaultCpuSet":"0-')


def _halve(data: bytes) -> bytes:
    return data[: len(data) // 2]


def _empty(_: bytes) -> bytes:
    return b""


def _read(alone: Alone) -> CpuStateV2 | None:
    with closing(KubeletStore(alone.at(""), read_only=True)) as store:
        return CheckpointManager(store, cpu_v2()).get(_CPUS, default=None)


def _write(alone: Alone, state: CpuStateV2) -> None:
    with closing(KubeletStore(alone.at(""))) as store:
        store.remove(_CPUS)
        CheckpointManager(store, cpu_v2()).create(_CPUS, state)


def _file(alone: Alone) -> File:
    path = alone.at(_CPUS)
    return File(path.read_bytes(), path.stat().st_ino)


def _machine(alone: Alone) -> Machine:
    """Return what a kubelet has made of the machine, started without any file of its own."""
    alone.policy, ours = "static", sorted(os.sched_getaffinity(0))
    if len(ours) < 2:
        return Machine("none", "the tests have one CPU", ())
    alone.reserved = ours[0]

    def known() -> str:
        state = _read(alone)
        return "" if state is None else state.default_cpu_set

    start = alone.start("the kubelet has written down its CPUs", known)
    if start.status is not None:
        said = [line for line in start.log.splitlines() if line.startswith("E")]
        return Machine("none", f"with static the kubelet ends: {said[-1:]}", ())
    cpus = [cpu for cpu in parse_cpus(known()) if cpu != ours[-1]]
    return Machine("static", "it has two CPUs or more", (*cpus, ours[-1]))


@pytest.fixture(scope="module")
def alone(request: pytest.FixtureRequest) -> Iterator[Alone]:
    lacks = missing(cache() / BINARIES)
    if lacks:
        pytest.skip(lacks)
    failed = request.session.testsfailed
    with Alone() as started:
        yield started
        started.keep = request.session.testsfailed > failed
        if started.keep:
            print(f"\nthe logs are in {started.logs}")  # noqa: T201 - where to look


@pytest.fixture(scope="module")
def taken(alone: Alone) -> Taken:
    machine = _machine(alone)
    print(f"\npolicy {machine.policy}: {machine.why}")  # noqa: T201
    alone.power_off()
    alone.policy = machine.policy
    _write(alone, machine.state())
    written = _file(alone)
    alone.put_pod()
    start = alone.start()
    kept, state = _file(alone), _read(alone)
    assert state is not None
    refusal = _repair_beside(alone)
    alone.power_off()
    return Taken(alone, machine, written, start, kept, state, refusal)


def _repair_beside(alone: Alone) -> Refusal:
    """Try to repair a damaged file in the directory of the kubelet, which does not use it."""
    damaged = alone.at(f"{_CPUS}.saved")
    damaged.write_bytes(_flip(alone.at(_CPUS).read_bytes()))
    status, told = alone.run("repair", f"{ROOT}/{damaged.name}")
    (file,) = told["files"]
    copies = [each.name for each in damaged.parent.glob(f"{damaged.name}?*")]
    return Refusal(status, file, copies)


@pytest.fixture(scope="module")
def mended(taken: Taken) -> Mended:
    taken.path.write_bytes(_flip(taken.written.data))
    status, told = taken.alone.run("repair", f"{ROOT}/{_CPUS}")
    (file,) = told["files"]
    taken.alone.at(os.path.basename(file["copy"])).replace(taken.path)
    start = taken.alone.start()
    data = taken.path.read_bytes()
    taken.alone.power_off()
    return Mended(status, start, data)


@pytest.fixture(scope="module")
def released(taken: Taken, mended: Mended) -> Start:
    """The pod is gone, and the kubelet has written down that all CPUs are shared again."""
    machine = taken.machine
    everyone = format_cpus(tuple(sorted(machine.cpus)))  # none with the policy none
    wanted = CpuStateV2(machine.policy, everyone, {})
    taken.alone.take_pod()
    start = taken.alone.start("all CPUs are shared", lambda: _read(taken.alone) == wanted)
    taken.alone.power_off()
    return start


def _as_explained(file: dict[str, Any], start: Start) -> None:
    """Compare what `verify` has said of a start with what came of it."""
    (foretold,) = file["starts"]
    problem = foretold["problem"]
    assert problem
    assert problem in start.log or quote(problem)[1:-1] in start.log
    does = re.fullmatch(f"the kubelet ({'|'.join(_STATUS)})(,.*)?", file["at_start"])
    assert does
    assert start.status == _STATUS[does[1]]
    assert ("\npanic: " in start.log) is (does[1] == "panics")


def test_a_kubelet_takes_a_state_file_that_we_wrote(taken: Taken) -> None:
    assert taken.start.status is None
    assert taken.start.cpus  # its pod runs


def test_it_keeps_the_file_as_it_is(taken: Taken) -> None:
    assert taken.state == taken.machine.state()
    assert taken.kept == taken.written  # nor has it written the same once more


def test_a_container_runs_on_the_cpu_that_the_file_gives_it(taken: Taken) -> None:
    if taken.machine.policy != "static":
        pytest.skip(f"not with the policy none: {taken.machine.why}")
    assert taken.start.cpus == taken.machine.own


def test_what_the_kubelet_has_written_is_verified_and_written_byte_for_byte(taken: Taken) -> None:
    status, told = taken.alone.run("verify", *_KUBELET, ROOT)
    assert (status, {each["ok"] for each in told["files"]}) == (0, {True})
    names = {each["file"] for each in told["files"]}
    assert names == set(FILES) - {_DEVICES}  # no plugin was there
    for name in names:
        data = taken.alone.at(name).read_bytes()
        reading = explain(name, data).reading
        assert render(reading.format, reading.document or {}) == data


@pytest.mark.parametrize(
    ("change", "cause"),
    [(_flip, Cause.FLIP), (_edit, Cause.STALE), (_halve, Cause.CUT), (_empty, Cause.EMPTY)],
)
def test_it_refuses_a_damaged_file_as_we_explain(
    taken: Taken, change: Callable[[bytes], bytes], cause: Cause
) -> None:
    with taken.damaged(_CPUS, change):
        status, file = taken.verify(_CPUS)
        start = taken.alone.start()
    assert status == 1
    assert [each["cause"] for each in file["findings"]] == [cause.value]
    _as_explained(file, start)


def test_it_refuses_the_file_of_another_policy_as_we_explain(taken: Taken) -> None:
    # none is a policy that every machine allows
    state = {"policy_name": "static", "default_cpu_set": "0", "entries": {}}
    with taken.damaged(_CPUS, lambda _: render(CPU_V2, state)):
        status, file = taken.verify(_CPUS, "none")
        taken.alone.policy = "none"
        start = taken.alone.start()
        taken.alone.policy = taken.machine.policy
    assert status == 1
    assert [each["cause"] for each in file["findings"]] == [Cause.POLICY.value]
    _as_explained(file, start)


@pytest.mark.parametrize("name", sorted(set(FILES) - {_CPUS, _DEVICES}))
def test_a_flipped_bit_in_another_file_is_as_we_explain(taken: Taken, name: str) -> None:
    with taken.damaged(name, _flip):
        status, file = taken.verify(name)
        start = taken.alone.start()
    assert status == 1
    assert Cause.FLIP.value in {each["cause"] for each in file["findings"]}
    _as_explained(file, start)


def test_a_flipped_bit_in_the_file_of_devices_is_as_we_explain(taken: Taken) -> None:
    with closing(KubeletStore(taken.alone.at(_PLUGINS))) as store:
        CheckpointManager(store, DEVICES).create(_DEVICES, DeviceState(DeviceData([], {})))
    with taken.damaged(f"{_PLUGINS}/{_DEVICES}", _flip):
        status, file = taken.verify(f"{_PLUGINS}/{_DEVICES}")
        start = taken.alone.start()
        taken.alone.power_off()
    assert status == 1
    assert start.cpus  # its pod runs
    _as_explained(file, start)


def test_nothing_is_repaired_while_a_kubelet_runs(taken: Taken) -> None:
    refusal = taken.refusal
    assert refusal.status == 1
    assert refusal.file["refused"].startswith("a kubelet runs")
    assert (refusal.file["copy"], refusal.copies) == (None, [])


def test_it_takes_what_was_repaired(taken: Taken, mended: Mended) -> None:
    assert mended.status == 0
    assert mended.start.status is None
    assert mended.start.cpus == taken.start.cpus
    assert mended.data == taken.written.data


def test_it_gives_the_cpus_of_a_pod_back_that_has_gone(released: Start) -> None:
    assert released.status is None
