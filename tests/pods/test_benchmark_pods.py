"""The benchmark of a tick does what is measured, on a small node; no times."""

from __future__ import annotations

import os
import statistics
from itertools import islice
from typing import TYPE_CHECKING

from benchmarks.podnode import Node, as_json, pods_of_node
from benchmarks.pods import Size, settled, ticks_of, traces
from benchmarks.podserver import as_streamed, as_written

if TYPE_CHECKING:
    from pathlib import Path

SIZE = Size(pods=6, parents=2, watched=4)
A_MINUTE = 13  # ticks


def test_with_real_clients_and_real_files_nothing_is_written_when_nothing_has_changed(
    tmp_path: Path,
) -> None:
    directory = str(tmp_path)
    with ticks_of(directory, SIZE) as ticks:
        first, second = ticks.next(), ticks.next()
        assert [pod.saved for pod in first.pods] == [True, True]
        assert settled(second, SIZE.parents)
        before = traces(directory)
        for _ in range(A_MINUTE):
            assert settled(ticks.next(), SIZE.parents)
        assert traces(directory) == before
    assert len(list((tmp_path / "inactive").iterdir())) == 2
    assert len(list(tmp_path.glob("secrets/kube-system/*/*"))) == 2


def test_whatever_is_written_leaves_a_trace(tmp_path: Path) -> None:
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    file = below / "file"
    file.write_bytes(b"same")

    def replace() -> None:
        (below / "new").write_bytes(b"same")
        os.replace(below / "new", file)

    def comes_and_goes() -> None:
        (below / "new").write_bytes(b"")
        (below / "new").unlink()

    changes = (
        replace,
        comes_and_goes,
        lambda: file.write_bytes(b"same"),
        lambda: file.chmod(0o600),
        lambda: (below / "link").symlink_to("file"),
    )
    for change in changes:
        os.utime(file, (1, 1))
        os.utime(below, (1, 1))
        before = traces(str(tmp_path))
        change()
        assert traces(str(tmp_path)) != before


def test_the_pods_are_as_large_as_pods_are() -> None:
    weights = [len(as_json(pod)) for pod in pods_of_node(9, 3, 5)]
    assert 4_500 < statistics.mean(weights) < 6_000


def test_no_two_answers_are_equal_though_nothing_changes() -> None:
    node = Node(pods_of_node(9, 3, 9))
    path = "/api/v1/namespaces/kube-system/pods?limit=500"
    for answer in (
        lambda: node.kubelet("/pods"),
        lambda: node.api(path),
        node.sandboxes,
        node.containers,
    ):
        first, second = islice(iter(answer, None), 2)
        assert first != second
        assert len(first) == len(second)


def unchunked(written: bytes) -> tuple[list[int], bytes]:
    """Return the sizes of the chunks, and the body."""
    sizes, body = [], b""
    while written:
        size, _, rest = written.partition(b"\r\n")
        sizes.append(int(size, 16))
        body += rest[: sizes[-1]]
        assert rest[sizes[-1] : sizes[-1] + 2] == b"\r\n"
        written = rest[sizes[-1] + 2 :]
    return sizes, body


def test_a_list_is_written_in_chunks_as_a_real_api_server_does() -> None:
    """Two for a pod, as Kubernetes 1.36 does; how they are read decides what a tick costs."""
    body = Node(pods_of_node(20, 3, 20)).api("/api/v1/namespaces/kube-system/pods")
    pieces = as_streamed(body)
    sizes, same = unchunked(b"".join(pieces))
    assert same == body
    assert 40 <= len(sizes) <= 44
    assert sizes[:4:2] == [2048, 2048]
    assert {len(piece) for piece in pieces[:-1]} == {4096}


def test_a_kubelet_writes_one_chunk() -> None:
    body = Node(pods_of_node(4, 1, 4)).kubelet("/pods")
    assert unchunked(b"".join(as_written(body))) == ([len(body), 0], body)
