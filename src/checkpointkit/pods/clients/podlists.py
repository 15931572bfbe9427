"""Lists of pods, of which only what has changed is parsed.

On a node with 250 pods a list has megabytes, it is asked for every few seconds, and mostly nothing
has changed. Yet two lists are hardly ever equal: the API server writes its newest resource version
into each, and the kubelet takes its pods from a map, in any order (pkg/kubelet/pod/pod_manager.go,
`podsMapToPods`). So a list is cut into its pods first, and these are compared, as bytes.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from attrs import field, frozen

from checkpointkit.kubernetes.failed import Failed
from checkpointkit.kubernetes.http import decode
from checkpointkit.pods.answers import PodList

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["Page", "PodLists", "cut"]

_OK: Final = 200
_HEAD: Final = re.compile(
    rb'\{"kind":"PodList","apiVersion":"v1","metadata":(\{[^{}]*\}),"items":\['
)
_JOINT: Final = b'},{"metadata":{'
"""What is where two pods meet. In a text, its quotes would have a backslash before them."""


@frozen
class Page:
    """A list of pods, cut into its pods.

    Attributes:
        metadata: The metadata of the list.
        pods: The pods, as they came. If each of them is JSON, they are the list.
    """

    metadata: dict[str, Any]
    pods: tuple[bytes, ...] = field(repr=False)


def cut(body: bytes) -> Page | None:
    """Return a list of pods, cut into its pods; None if it is not written as Kubernetes does.

    Nothing is parsed but the metadata, and nothing is guessed. Where a cut is wrong, what lies on
    its two sides is no JSON, and that is seen before it is used. Where it is JSON on both sides,
    the cut is right.

    Args:
        body: The body of an answer.

    Example:
        >>> head = b'{"kind":"PodList","apiVersion":"v1","metadata":{},"items":['
        >>> page = cut(head + b'{"metadata":{"name":"a"}},{"metadata":{"name":"b"}}]}')
        >>> page.pods
        (b'{"metadata":{"name":"a"}}', b'{"metadata":{"name":"b"}}')
        >>> cut(b"<html>")
    """
    head = _HEAD.match(body)
    end = body.rfind(b"]}")
    if head is None or end < head.end() or body[end:].strip(b"\n") != b"]}":
        return None
    try:
        metadata = decode(head[1])
    except ValueError:
        return None
    pods: list[bytes] = []
    start = head.end()
    while start < end:  # each byte is copied once: there are megabytes of them
        joint = body.find(_JOINT, start, end)
        stop = joint + 1 if joint >= 0 else end
        pods.append(body[start:stop])
        start = stop + 1
    return Page(metadata, tuple(pods))


class PodLists:
    """Reads one list of pods again and again; where nothing has changed, it is the same object.

    Args:
        read: What makes a list of a status and decoded JSON: one of `answers`.
    """

    def __init__(self, read: Callable[[int, Any], PodList | Failed]) -> None:
        self._read = read
        self._pages: list[_Memory] = []
        self._joined: tuple[tuple[PodList, ...], PodList] | None = None

    def page(self, number: int, body: bytes) -> tuple[str, PodList] | Failed:
        """Return where the list goes on (empty: nowhere), and what is on a page.

        Args:
            number: Which page, from 0; pages are read in order.
            body: What the server has answered, with status 200.
        """
        if number == len(self._pages):
            self._pages.append(_Memory(self._read))
        return self._pages[number].read(body)

    def join(self, pages: Sequence[PodList]) -> PodList:
        """Return the whole list.

        Args:
            pages: Its pages.
        """
        del self._pages[len(pages) :]
        if len(pages) == 1:
            return pages[0]
        before = self._joined
        if before is not None and [id(page) for page in before[0]] == [id(page) for page in pages]:
            return before[1]
        pods = tuple(pod for page in pages for pod in page.pods)
        unreadable = tuple(problem for page in pages for problem in page.unreadable)
        self._joined = tuple(pages), PodList(pods, unreadable)
        return self._joined[1]


class _Memory:
    """One page of a list: what it was the last time."""

    def __init__(self, read: Callable[[int, Any], PodList | Failed]) -> None:
        self._read = read
        self._body = b""  # of a page that cannot be cut
        self._token = ""
        self._decoded: dict[bytes, Any] = {}
        self._answer: PodList | None = None

    def read(self, body: bytes) -> tuple[str, PodList] | Failed:
        """Return where the list goes on, and what is on this page."""
        page = cut(body)
        if page is not None:
            try:
                return self._by_pods(page)
            except ValueError:
                pass  # what it is, if it is anything, the whole of it says
        try:
            return self._by_body(body)
        except ValueError as error:
            return Failed(f"the list of pods cannot be read: {error}")

    def _by_pods(self, page: Page) -> tuple[str, PodList] | Failed:
        token, metadata = _without_token(page.metadata)
        pods: dict[bytes, Any] = dict.fromkeys(page.pods)
        same = not self._body and pods.keys() == self._decoded.keys()
        # Of the metadata nothing but the token counts; a strange one is for the reader.
        if self._answer is not None and same and not metadata.get("continue"):
            return token, self._answer
        for pod in pods:
            pods[pod] = self._decoded[pod] if pod in self._decoded else decode(pod)
        items = list(pods.values())
        answer = self._read(_OK, {"kind": "PodList", "metadata": metadata, "items": items})
        if isinstance(answer, Failed):
            return answer
        self._body, self._decoded, self._answer = b"", pods, answer
        return token, answer

    def _by_body(self, body: bytes) -> tuple[str, PodList] | Failed:
        if self._answer is not None and body == self._body:
            return self._token, self._answer
        decoded = decode(body)
        token = ""
        if isinstance(decoded, dict) and isinstance(decoded.get("metadata"), dict):
            token, metadata = _without_token(decoded["metadata"])
            decoded["metadata"] = metadata
        answer = self._read(_OK, decoded)
        if isinstance(answer, Failed):
            return answer
        self._body, self._token, self._decoded, self._answer = body, token, {}, answer
        return token, answer


def _without_token(metadata: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return where a list goes on, and what is left of its metadata; nothing else counts.

    A token that is no text stays where it is, for the list goes on, and nobody knows where.
    """
    token = metadata.get("continue")
    if not isinstance(token, str):
        return "", metadata
    return token, {}
