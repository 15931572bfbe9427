"""The bar of pods: `python -m benchmarks.pods`.

One tick of a `PodCheckpointer` on a node with 250 pods, 20 of them with a checkpoint, where nothing
has changed: the processor time of the process, of all its threads, and what it writes. The clients
are the real ones, and so are the files; API server, kubelet (both over TLS) and container runtime
are servers in another process. All pods are in the watched namespace, so that both lists have all.

Ticks are five seconds apart by the checkpointer's clock, so that secrets and config maps are asked
for again once in twelve ticks, as in life; those ticks show in the 95th percentile.
"""

from __future__ import annotations

import argparse
import cProfile
import os
import pstats
import statistics
import tempfile
import time
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Final

from attrs import frozen

from benchmarks.figures import percentile
from benchmarks.podnode import NODE, WATCHED, as_json, pods_of_node
from benchmarks.podserver import PKI, servers
from checkpointkit.pods.assets import Roots
from checkpointkit.pods.checkpointer import Options, PodCheckpointer
from checkpointkit.pods.clients.apiserver import ApiServerClient
from checkpointkit.pods.clients.cri import CriClient
from checkpointkit.pods.clients.kubelet import KubeletClient
from checkpointkit.pods.files.assetsets import AssetFiles
from checkpointkit.pods.files.manifests import Manifests
from checkpointkit.pods.model import Scope
from checkpointkit.pods.state import PodState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from checkpointkit.pods.ticks import Tick

BAR: Final = 20.0
"""Milliseconds of processor time."""
INTERVAL: Final = 5.0
_KUBECONFIG: Final = """\
apiVersion: v1
kind: Config
current-context: node
contexts: [{{name: node, context: {{cluster: here, user: checkpointer}}}}]
clusters:
- {{name: here, cluster: {{server: "https://127.0.0.1:{port}", certificate-authority: "{ca}"}}}}
users: [{{name: checkpointer, user: {{token: t0k3n}}}}]
"""


@frozen
class Size:
    """How much is on the node.

    Attributes:
        pods: The pods.
        parents: How many of them have a checkpoint.
        watched: How many of them are in the watched namespace, the parents among them.
    """

    pods: int = 250
    parents: int = 20
    watched: int = 250


class Ticks:
    """The ticks of a checkpointer, five seconds apart by its clock.

    Args:
        make: Makes the checkpointer, given that clock.
    """

    def __init__(self, make: Callable[[Callable[[], float]], PodCheckpointer]) -> None:
        self._now = 1_800_000_000.0
        self._checkpointer = make(lambda: self._now)

    def next(self) -> Tick:
        """Do one tick."""
        self._now += INTERVAL
        return self._checkpointer.reconcile()


@contextmanager
def ticks_of(directory: str, size: Size) -> Iterator[Ticks]:
    """Start the servers, and yield the ticks of a checkpointer that asks them."""
    token = f"{directory}/token"
    with open(token, "w", encoding="utf-8") as file:
        file.write("t0k3n")
    ca = str(PKI / "ca.crt")
    roots = Roots(f"{directory}/secrets", f"{directory}/configmaps")
    with servers(directory, size.pods, size.parents, size.watched) as ports:
        kubeconfig = f"{directory}/kubeconfig"
        with open(kubeconfig, "w", encoding="utf-8") as file:
            file.write(_KUBECONFIG.format(port=ports["api"], ca=ca))
        url = f"https://127.0.0.1:{ports['kubelet']}"
        with (
            closing(ApiServerClient.connect(kubeconfig)) as api,
            closing(KubeletClient.connect(url, token_file=token, ca=ca)) as kubelet,
            closing(CriClient.connect(f"unix://{directory}/cri.sock")) as runtime,
        ):
            yield Ticks(
                lambda clock: PodCheckpointer(
                    api,
                    kubelet,
                    runtime,
                    manifests=Manifests(f"{directory}/inactive", f"{directory}/active"),
                    assets=AssetFiles(roots),
                    state=PodState.open(f"{directory}/state"),
                    options=Options(Scope(NODE, frozenset({WATCHED})), roots=roots),
                    clock=clock,
                )
            )


def traces(directory: str) -> dict[str, tuple[int, int, int, int]]:
    """Return what a write would change, of every file and directory below one."""
    found = {}
    for path, directories, files in os.walk(directory):
        for name in (".", *directories, *files):
            status = os.lstat(os.path.join(path, name))
            found[os.path.join(path, name)] = (
                status.st_ino,
                status.st_size,
                status.st_mtime_ns,
                status.st_ctime_ns,
            )
    return found


def settled(tick: Tick, parents: int) -> bool:
    """Whether every parent has its copy, and nothing is left to do."""
    assert not tick.unavailable, tick.unavailable
    assert not tick.problems, tick.problems
    assert not any(pod.problems for pod in tick.pods), tick.pods
    return len(tick.pods) == parents and not tick.wrote


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ticks", type=int, default=240)
    parser.add_argument("--pods", type=int, default=250)
    parser.add_argument("--parents", type=int, default=20)
    parser.add_argument("--watched", type=int, default=250, help="how many the API server lists")
    parser.add_argument("--profile", action="store_true", help="show where the time goes instead")
    options = parser.parse_args()
    size = Size(options.pods, options.parents, options.watched)
    weight = statistics.mean(len(as_json(pod)) for pod in pods_of_node(size.pods, 0, 0))
    with tempfile.TemporaryDirectory() as directory, ticks_of(directory, size) as ticks:
        while not settled(ticks.next(), size.parents):
            pass
        for _ in range(20):
            ticks.next()
        if options.profile:
            profiler = cProfile.Profile(time.process_time)
            for _ in range(options.ticks):
                profiler.runcall(ticks.next)
            pstats.Stats(profiler).strip_dirs().sort_stats("tottime").print_stats(30)
            return
        before = traces(directory)
        taken = []
        for _ in range(options.ticks):
            start = time.process_time()
            tick = ticks.next()
            taken.append((time.process_time() - start) * 1e3)
            assert settled(tick, size.parents)
        written = {path for path, trace in traces(directory).items() if before.get(path) != trace}
    load = os.getloadavg()[0]  # a busy machine makes processor time longer, too
    print(f"{size.pods} pods of {weight:,.0f} bytes, {size.parents} checkpoints, load {load:.1f}")
    print(f"{'one tick, median':22}{statistics.median(taken):8.2f} ms{f'bar: {BAR:g} ms':>20}")
    print(f"{'95th percentile':22}{percentile(taken, 95):8.2f} ms")
    print(f"{'written in all ticks':22}{len(written):8}{'bar: none':>23}")


if __name__ == "__main__":
    main()
