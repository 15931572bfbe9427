"""Orphans: only what an API server itself says is gone is gone, whatever else answers."""

from __future__ import annotations

import json
import ssl
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from checkpointkit.archives.model import Container, Level, Parent
from checkpointkit.archives.watching.orphans import Answer, KubernetesLookup
from checkpointkit.archives.watching.whereabouts import (
    Absent,
    Present,
    is_static,
    judge,
    read_namespace,
    read_pod,
)
from checkpointkit.errors import CheckpointError, MissingExtraError
from checkpointkit.kubernetes.failed import Failed
from checkpointkit.kubernetes.http import SourceConfigError
from tests.pods.clients.servers import SECRET, Request, Server, pki, reply, tls

UID: Final = "d2139d84-b72d-4e56-aa68-06d2f74e2528"
OTHER: Final = "0e4b9b0c-2d3a-4a52-8f8e-5d9cfb1c7a11"
STATIC: Final = "b0b5a6a0d4f3d8d0a1d5c1e9c3a7f2e4"
WEB: Final = Container("default", "web", "app")
KNOWN: Final = Parent(WEB, UID)
NAMED: Final = Parent(WEB)
CLUSTER: Final = "6c1f"
SYSTEM: Final = "/api/v1/namespaces/kube-system"
POD: Final = "/api/v1/namespaces/default/pods/web"
MAY_RUN: Final = "it was a static pod, which may run without the API server knowing of it"


def pod(uid: str = UID, *, containers: tuple[str, ...] = ("app",), **more: Any) -> dict[str, Any]:
    metadata = {"name": "web", "namespace": "default", "uid": uid, **more.pop("metadata", {})}
    spec = {"containers": [{"name": name} for name in containers], **more.pop("spec", {})}
    return {"kind": "Pod", "apiVersion": "v1", "metadata": metadata, "spec": spec, **more}


def mirror(uid: str = OTHER, static: str = STATIC, key: str = "config.mirror") -> dict[str, Any]:
    annotations = {"kubernetes.io/config.mirror": "x", f"kubernetes.io/{key}": static}
    return pod(uid, metadata={"annotations": annotations})


def not_found(kind: str, name: str, **more: Any) -> dict[str, Any]:
    details = {"name": name, "kind": kind, **more}
    return {"kind": "Status", "reason": "NotFound", "code": 404, "details": details}


class Cluster:
    """A small API server: what it has, and what it answers instead."""

    def __init__(self) -> None:
        self.uid = CLUSTER
        self.namespaces = {"default"}
        self.pods: dict[tuple[str, str], dict[str, Any]] = {}
        self.instead: dict[str, bytes | Callable[[], bytes]] = {}

    def __call__(self, request: Request) -> bytes:
        if request.path in self.instead:
            answer = self.instead[request.path]
            return answer if isinstance(answer, bytes) else answer()
        _, _, _, resource, namespace, *rest = request.path.split("/")
        assert resource == "namespaces"
        if namespace == "kube-system" and not rest:
            metadata = {"name": namespace, "uid": self.uid}
            return reply({"kind": "Namespace", "metadata": metadata})
        if rest:
            found = self.pods.get((namespace, rest[1]))
            return reply(found) if found else reply(not_found("pods", rest[1]), 404)
        if namespace in self.namespaces:
            metadata = {"name": namespace, "uid": f"uid-{namespace}"}
            return reply({"kind": "Namespace", "metadata": metadata})
        return reply(not_found("namespaces", namespace), 404)


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


@pytest.fixture
def server(cluster: Cluster) -> Iterator[Server]:
    with Server(cluster, tls()) as server:
        yield server


def config(server: Server, path: Path, ca: str = "ca.crt") -> str:
    made = {
        "clusters": [
            {"name": "c", "cluster": {"server": server.url, "certificate-authority": pki(ca)}}
        ],
        "users": [{"name": "u", "user": {"token": "t0k3n"}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    file = path / "kubeconfig"
    file.write_text(json.dumps(made))
    return str(file)


class Clock:
    """Stands still, unless it is told to go on."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def slow(cluster: Cluster, clock: Clock) -> Callable[[Request], bytes]:
    """Return a server for which ten seconds go by with each answer."""

    def answer(request: Request) -> bytes:
        clock.now += 10.0
        return cluster(request)

    return answer


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def lookup(server: Server, tmp_path: Path, clock: Clock) -> Iterator[KubernetesLookup]:
    with closing(KubernetesLookup.connect(config(server, tmp_path), clock=clock)) as lookup:
        yield lookup


def there(*parents: Parent, gone: Mapping[Parent, Level] = MappingProxyType({})) -> Answer:
    """Return the answer that has these parents."""
    return Answer(CLUSTER, dict(gone), there=frozenset(parents))


def asked(server: Server) -> list[str]:
    return [request.path for request in server.requests]


# ------------------------------------------------------------------------------ what is confirmed


def test_a_pod_that_is_there_is_not_gone(
    lookup: KubernetesLookup, cluster: Cluster, server: Server
) -> None:
    cluster.pods["default", "web"] = pod()
    assert lookup.look([KNOWN, NAMED]) == there(KNOWN, NAMED)
    # in the end once more: that somebody is there tells which cluster it is
    assert asked(server) == [SYSTEM, POD, SYSTEM]
    assert server.requests[1].headers["authorization"] == "Bearer t0k3n"


def test_a_pod_that_terminates_is_still_there(lookup: KubernetesLookup, cluster: Cluster) -> None:
    stamp = {"deletionTimestamp": "2026-05-28T20:26:40Z"}
    cluster.pods["default", "web"] = pod(metadata=stamp, status={"phase": "Succeeded"})
    assert lookup.look([KNOWN, NAMED]) == there(KNOWN, NAMED)


def test_a_pod_that_is_not_found_is_gone(
    lookup: KubernetesLookup, cluster: Cluster, server: Server
) -> None:
    assert lookup.look([KNOWN, NAMED]) == Answer(CLUSTER, {KNOWN: Level.POD, NAMED: Level.POD})
    # in the end once more: is it the same cluster still?
    assert asked(server) == [SYSTEM, POD, "/api/v1/namespaces/default", SYSTEM]


def test_a_namespace_that_is_not_found_is_gone_with_all_that_was_in_it(
    lookup: KubernetesLookup, cluster: Cluster, server: Server
) -> None:
    cluster.namespaces.clear()
    second = Parent(Container("default", "db", "app"), OTHER)
    answer = lookup.look([KNOWN, second])
    assert answer == Answer(CLUSTER, {KNOWN: Level.NAMESPACE, second: Level.NAMESPACE})
    assert asked(server).count("/api/v1/namespaces/default") == 1


def test_a_later_pod_of_the_same_name_is_another_one(
    lookup: KubernetesLookup, cluster: Cluster
) -> None:
    cluster.pods["default", "web"] = pod(OTHER)
    assert lookup.look([KNOWN, NAMED]) == there(NAMED, gone={KNOWN: Level.POD})


@pytest.mark.parametrize("kind", ["containers", "initContainers", "ephemeralContainers"])
def test_a_container_is_looked_for_among_all_kinds(
    lookup: KubernetesLookup, cluster: Cluster, kind: str
) -> None:
    spec = {"initContainers": None, kind: [{"name": "main"}, {"name": "debug"}]}
    cluster.pods["default", "web"] = pod(containers=("main",), spec=spec)
    debug = Parent(Container("default", "web", "debug"), UID)
    assert lookup.look([debug, KNOWN]) == there(debug, gone={KNOWN: Level.CONTAINER})


def test_each_pod_is_asked_for_once_however_many_containers_it_has(
    lookup: KubernetesLookup, cluster: Cluster, server: Server
) -> None:
    cluster.pods["default", "web"] = pod(containers=("a", "b", "c"))
    parents = [Parent(Container("default", "web", name), UID) for name in ("a", "b", "c", "d")]
    assert lookup.look(parents).gone == {parents[3]: Level.CONTAINER}
    assert asked(server).count(POD) == 1


def test_without_parents_nothing_is_gone(lookup: KubernetesLookup) -> None:
    assert lookup.look([]) == Answer(CLUSTER)


# -------------------------------------------------------------------------------------- static pods


@pytest.mark.parametrize("key", ["config.mirror", "config.hash"])
def test_a_static_pod_that_runs_is_never_gone_though_its_mirror_has_another_uid(
    lookup: KubernetesLookup, cluster: Cluster, key: str
) -> None:
    cluster.pods["default", "web"] = mirror(key=key)
    static = Parent(WEB, STATIC)
    assert lookup.look([static, NAMED]) == there(static, NAMED)


@pytest.mark.parametrize("found", [None, mirror(static="0" * 32), pod(OTHER)])
def test_a_static_pod_without_its_mirror_may_run(
    lookup: KubernetesLookup, cluster: Cluster, found: dict[str, Any] | None
) -> None:
    if found is not None:
        cluster.pods["default", "web"] = found
    answer = lookup.look([Parent(WEB, STATIC)])
    assert answer.gone == {}
    assert answer.problems == (f"whether default/web is gone is not known: {MAY_RUN}",)


def test_what_a_mirror_of_that_name_says_of_a_uid_it_does_not_know_is_nothing(
    lookup: KubernetesLookup, cluster: Cluster
) -> None:
    cluster.pods["default", "web"] = mirror()
    answer = lookup.look([KNOWN])
    assert answer.gone == {}
    assert "a static pod has its name" in answer.problems[0]


def test_the_uids_of_static_pods_are_told_by_their_form() -> None:
    assert not is_static(UID)
    assert not is_static("")
    assert all(is_static(uid) for uid in (STATIC, UID.upper(), f"{UID}0", UID.replace("-", "")))


# -------------------------------------------------------------------------- what is not confirmed

HTML: Final = b"<html><head><title>404 Not Found</title></head><body>nginx</body></html>"

ODD: Final[dict[str, bytes]] = {
    "a proxy's page": reply(HTML, 404, Content_Type="text/html"),
    "a 404 that is empty": reply(b"", 404),
    "a 404 of an unknown path": reply({"kind": "Status", "reason": "NotFound"}, 404),
    "a 404 for another pod": reply(not_found("pods", "other"), 404),
    "a 404 for another resource": reply(not_found("secrets", "web"), 404),
    "a 404 for a namespace": reply(not_found("namespaces", "web"), 404),
    "a 404 of an API group": reply(not_found("pods", "web", group="metrics.k8s.io"), 404),
    "a 404 with another reason": reply({**not_found("pods", "web"), "reason": "Gone"}, 404),
    "a 404 that is no Status": reply({**not_found("pods", "web"), "kind": "Pod"}, 404),
    "a 404 that is a list": reply([not_found("pods", "web")], 404),
    "a 404 with odd details": reply({**not_found("pods", "web"), "details": "pods web"}, 404),
    "a 200 with the Status of a 404": reply(not_found("pods", "web")),
    "a redirect": reply(not_found("pods", "web"), 302, Location="/"),
    "a 410": reply(not_found("pods", "web"), 410),
    "a 403": reply({"kind": "Status", "reason": "Forbidden"}, 403),
    "a 401": reply({"kind": "Status", "reason": "Unauthorized"}, 401),
    "a 429": reply({"kind": "Status"}, 429),
    "a 500": reply(SECRET.encode(), 500),
    "a 503": reply(HTML, 503),
    "nothing": b"",
    "no HTTP": b"SSH-2.0-OpenSSH_9.2\r\n",
    "a body that is cut": reply(b"{", Content_Length="4000", Connection="close"),
    "a pod that is cut": reply(json.dumps(pod(OTHER)).encode()[:-1]),
    "no JSON": reply(b"\xff\xfe"),
    "deep JSON": reply(b"[" * 100_000),
    "another pod": reply(pod(OTHER, metadata={"name": "other"})),
    "a pod of another namespace": reply(pod(OTHER, metadata={"namespace": "prod"})),
    "no pod": reply({**pod(OTHER), "kind": "Node"}),
    "a list": reply([pod(OTHER)]),
    "no metadata": reply({**pod(OTHER), "metadata": None}),
    "no UID": reply(pod("")),
    "a UID that is a number": reply(pod(OTHER, metadata={"uid": 5})),
    "odd annotations": reply(pod(OTHER, metadata={"annotations": ["a"]})),
    "no spec": reply({**pod(OTHER), "spec": None}),
    "no containers": reply(pod(UID, containers=())),
    "containers that are none": reply(pod(UID, spec={"containers": "app"})),
    "a container that is none": reply(pod(UID, spec={"initContainers": ["x"]})),
    "a container without a name": reply(pod(UID, spec={"ephemeralContainers": [{"name": 5}]})),
}


@pytest.mark.parametrize("what", ODD)
def test_what_else_is_answered_for_a_pod_is_no_sign_of_its_end(
    lookup: KubernetesLookup, cluster: Cluster, what: str
) -> None:
    cluster.instead[POD] = ODD[what]
    answer = lookup.look([KNOWN])
    assert answer.gone == {}
    assert len(answer.problems) == 1
    assert answer.problems[0].startswith("whether default/web is gone is not known: ")
    assert SECRET not in answer.problems[0]
    del cluster.instead[POD]
    assert lookup.look([KNOWN]).gone == {KNOWN: Level.POD}  # the next time is as good as ever


NAMESPACE: Final[dict[str, bytes]] = {
    "a proxy's page": reply(HTML, 404),
    "a 404 for a pod": reply(not_found("pods", "default"), 404),
    "a 403": reply({"kind": "Status", "reason": "Forbidden"}, 403),
    "a 500": reply(b"", 500),
    "nothing": b"",
    "another namespace": reply({"kind": "Namespace", "metadata": {"name": "a", "uid": "u"}}),
    "no UID": reply({"kind": "Namespace", "metadata": {"name": "default"}}),
}


@pytest.mark.parametrize("what", NAMESPACE)
def test_a_pod_whose_namespace_is_not_known_is_not_known_to_be_gone(
    lookup: KubernetesLookup, cluster: Cluster, what: str
) -> None:
    cluster.instead["/api/v1/namespaces/default"] = NAMESPACE[what]
    answer = lookup.look([KNOWN])
    assert answer.gone == {}
    assert len(answer.problems) == 1


def test_an_answer_for_one_pod_says_nothing_of_another(
    lookup: KubernetesLookup, cluster: Cluster
) -> None:
    cluster.instead[POD] = reply({"kind": "Status", "reason": "Forbidden"}, 403)
    gone = Parent(Container("default", "db", "app"), OTHER)
    also = Parent(Container("default", "web", "b"))
    answer = lookup.look([KNOWN, gone, also])
    assert answer.gone == {gone: Level.POD}
    assert answer.problems == (
        "whether default/web is gone is not known: the pod was answered with status 403",
    )


@pytest.mark.parametrize(
    "container",
    [
        Container("default/../kube-system", "web", "app"),
        Container("default", "../../secrets/root", "app"),
        Container("default", "web?watch=1", "app"),
        Container("default", "web", "../app"),
        Container("default", "", "app"),
        Container("..", "web", "app"),
        Container("default", "%2e%2e", "app"),
    ],
)
def test_a_forged_name_is_never_part_of_a_path_and_never_gone(
    lookup: KubernetesLookup, server: Server, container: Container
) -> None:
    answer = lookup.look([Parent(container, UID)])
    assert answer.gone == {}
    assert answer.problems[0].endswith(" is gone is not known: they have no names of Kubernetes")
    assert ".." not in answer.problems[0]
    assert asked(server) == [SYSTEM]


def test_the_same_trouble_of_many_pods_is_one_line(
    lookup: KubernetesLookup, cluster: Cluster
) -> None:
    parents = [Parent(Container("default", f"web-{n}", "app"), STATIC) for n in range(20)]
    assert lookup.look(parents).problems == (f"whether 20 pods are gone is not known: {MAY_RUN}",)


# --------------------------------------------------------------------------------- which cluster


@pytest.mark.parametrize(
    "answer",
    [
        reply(HTML, 404),
        reply(not_found("namespaces", "kube-system"), 404),
        reply({"kind": "Status", "reason": "Forbidden"}, 403),
        reply({"kind": "Namespace", "metadata": {"name": "kube-system"}}),
        reply({"kind": "Namespace", "metadata": {"name": "default", "uid": "6c1f"}}),
        b"",
    ],
)
def test_without_a_cluster_nothing_is_asked_and_nothing_is_gone(
    lookup: KubernetesLookup, cluster: Cluster, server: Server, answer: bytes
) -> None:
    cluster.instead[SYSTEM] = answer
    made = lookup.look([KNOWN])
    assert (made.cluster, made.gone, len(made.problems)) == ("", {}, 1)
    assert set(asked(server)) == {SYSTEM}


@pytest.mark.parametrize("broken", [False, True])
def test_another_cluster_in_the_middle_of_a_look_makes_nothing_of_it_count(
    lookup: KubernetesLookup, cluster: Cluster, broken: bool
) -> None:
    def answer() -> bytes:
        cluster.uid = "another"
        if broken:
            cluster.instead[SYSTEM] = reply(b"", 500)
        return reply(not_found("pods", "web"), 404)

    cluster.instead[POD] = answer
    made = lookup.look([KNOWN])
    assert (made.cluster, made.gone) == (CLUSTER, {})
    why = "the namespace was answered with status 500" if broken else "it is another cluster now"
    assert made.problems == (f"whose pods are gone is not known: {why}",)


def test_what_one_cluster_has_said_is_nothing_to_the_next(
    lookup: KubernetesLookup, cluster: Cluster, server: Server
) -> None:
    assert lookup.look([KNOWN]).gone == {KNOWN: Level.POD}
    cluster.uid = "another"
    cluster.pods["default", "web"] = pod()
    assert lookup.look([KNOWN]) == evolve(there(KNOWN), cluster="another")


def test_another_cluster_in_the_middle_of_a_look_does_not_say_who_is_there(
    lookup: KubernetesLookup, cluster: Cluster
) -> None:
    def answer() -> bytes:
        cluster.uid = "another"
        return reply(pod())

    cluster.instead[POD] = answer
    made = lookup.look([KNOWN])
    assert (made.cluster, made.gone, made.there) == (CLUSTER, {}, frozenset())
    assert made.problems == ("whose pods are gone is not known: it is another cluster now",)


def test_who_was_there_a_moment_ago_is_there_and_who_is_not_known_is_not(
    lookup: KubernetesLookup, cluster: Cluster, clock: Clock
) -> None:
    cluster.pods["default", "web"] = pod()
    static = Parent(Container("default", "db", "app"), STATIC)
    for _ in range(2):
        assert lookup.look([KNOWN, static]).there == {KNOWN}
    clock.now += 301.0
    cluster.instead[POD] = reply(b"", 403)
    assert lookup.look([KNOWN, static]).there == frozenset()


# ------------------------------------------------------------------------------------ how often


def test_what_was_said_a_moment_ago_is_not_asked_again(
    lookup: KubernetesLookup, cluster: Cluster, server: Server, clock: Clock
) -> None:
    db = Parent(Container("default", "db", "app"), OTHER)
    cluster.pods["default", "web"] = pod()
    for _ in range(3):
        assert lookup.look([KNOWN, db]).gone == {db: Level.POD}
    assert asked(server).count(POD) == 1
    clock.now += 301.0
    assert lookup.look([KNOWN, db]).gone == {db: Level.POD}
    assert asked(server).count(POD) == 2


def test_a_pod_that_reappears_is_not_gone_any_more(
    lookup: KubernetesLookup, cluster: Cluster
) -> None:
    assert lookup.look([NAMED]).gone == {NAMED: Level.POD}
    cluster.pods["default", "web"] = pod()
    assert lookup.look([NAMED]).gone == {}  # at once: by its name alone it is asked each time


def test_what_was_gone_is_not_known_to_be_when_asking_again_fails(
    lookup: KubernetesLookup, cluster: Cluster, clock: Clock
) -> None:
    assert lookup.look([KNOWN]).gone == {KNOWN: Level.POD}
    clock.now += 301.0
    cluster.instead[POD] = reply(b"", 403)
    assert lookup.look([KNOWN]).gone == {}
    del cluster.instead[POD]
    assert lookup.look([KNOWN]).gone == {KNOWN: Level.POD}


def test_trouble_of_the_server_ends_the_asking(
    lookup: KubernetesLookup, cluster: Cluster, server: Server
) -> None:
    parents = [Parent(Container("default", f"web-{n}", "app"), UID) for n in range(5)]
    cluster.instead["/api/v1/namespaces/default/pods/web-1"] = reply(b"", 503)
    answer = lookup.look(parents)
    assert answer.gone == {parents[0]: Level.POD}
    assert answer.problems == (
        "whether default/web-1 is gone is not known: the pod was answered with status 503",
        "whether 3 pods are gone is not known: the API server answered with status 503",
    )
    assert len(asked(server)) == 5


def test_a_pod_that_cannot_be_asked_for_does_not_keep_the_others_from_their_turn(
    lookup: KubernetesLookup, cluster: Cluster
) -> None:
    parents = [Parent(Container("default", f"web-{n}", "app"), UID) for n in range(5)]
    cluster.instead["/api/v1/namespaces/default/pods/web-1"] = b""  # it never answers
    assert set(lookup.look(parents).gone) == {parents[0]}
    assert set(lookup.look(parents).gone) == set(parents) - {parents[1]}


def test_all_pods_together_have_an_end_and_those_left_come_first_next_time(
    cluster: Cluster, server: Server, tmp_path: Path, clock: Clock
) -> None:
    parents = [Parent(Container("default", f"web-{n}", "app"), UID) for n in range(9)]
    server.answer = slow(cluster, clock)
    lookup = KubernetesLookup.connect(
        config(server, tmp_path), clock=clock, deadline=45.0, timeout=1e6
    )
    with closing(lookup):
        first, second, third = (lookup.look(parents) for _ in range(3))
    # of five requests one is for the cluster, and one in the first for the namespace
    assert [len(answer.gone) for answer in (first, second, third)] == [3, 6, 9]
    assert set(first.gone) < set(second.gone)
    why = "the time was over; it is asked next time"
    assert first.problems == (f"whether 6 pods are gone is not known: {why}",)
    assert second.problems == (f"whether 3 pods are gone is not known: {why}",)
    assert third.problems == ()


def test_what_was_gone_stays_so_while_there_is_no_time_to_ask_again(
    cluster: Cluster, server: Server, tmp_path: Path, clock: Clock
) -> None:
    parents = [Parent(Container("default", f"web-{n}", "app"), UID) for n in range(9)]
    lookup = KubernetesLookup.connect(
        config(server, tmp_path), clock=clock, deadline=45.0, timeout=1e6
    )
    with closing(lookup):
        assert len(lookup.look(parents).gone) == 9
        clock.now += 301.0
        server.answer = slow(cluster, clock)
        cluster.pods["default", "web-0"] = pod(metadata={"name": "web-0"})
        answer = lookup.look(parents)
    assert "the time was over" in answer.problems[0]
    assert set(answer.gone) == set(parents[1:])  # who was asked for is there


# ------------------------------------------------------------------------------------- the way


def test_a_server_that_never_answers_ends_the_look_in_time(
    cluster: Cluster, server: Server, tmp_path: Path
) -> None:
    def never() -> bytes:
        server.stopping.wait(60.0)
        return b""

    cluster.instead[POD] = never
    parents = [KNOWN, *(Parent(Container("z", f"{n}", "app"), UID) for n in range(30))]
    with closing(KubernetesLookup.connect(config(server, tmp_path), timeout=0.5)) as lookup:
        answer = lookup.look(parents)
    assert answer.gone == {}
    assert asked(server).count(POD) == 1
    assert len(asked(server)) == 2  # nobody else was asked for


def test_a_server_that_is_not_there(tmp_path: Path) -> None:
    with Server(lambda _: b"", tls()) as server:
        kubeconfig = config(server, tmp_path)
    with closing(KubernetesLookup.connect(kubeconfig)) as lookup:
        for _ in range(2):  # the words are the same each time
            assert lookup.look([KNOWN]) == Answer(
                "",
                {},
                ("whose pods are gone is not known: the connection failed: Connection refused",),
            )
    assert lookup.look([KNOWN]).problems == (
        "whose pods are gone is not known: the client is closed",
    )


def test_a_server_whom_nobody_vouches_for_is_not_believed(tmp_path: Path) -> None:
    made = Cluster()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pki("server.crt"), pki("server.key"))
    with Server(made, context) as server:
        kubeconfig = config(server, tmp_path, ca="other-ca.crt")
        with closing(KubernetesLookup.connect(kubeconfig)) as lookup:
            answer = lookup.look([KNOWN])
    assert answer.gone == {}
    assert "certificate is refused" in answer.problems[0]


def test_the_service_account_of_the_pod_is_used_without_a_kubeconfig(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "token").write_text("of-the-pod")
    (tmp_path / "namespace").write_text("kube-system")
    (tmp_path / "ca.crt").write_bytes(Path(pki("ca.crt")).read_bytes())
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(server.port))
    with closing(KubernetesLookup.connect(service_account=str(tmp_path))) as lookup:
        assert lookup.look([]) == Answer(CLUSTER)
    assert server.requests[0].headers["authorization"] == "Bearer of-the-pod"


def test_a_kubeconfig_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(SourceConfigError) as caught:
        KubernetesLookup.connect(str(tmp_path / "none"))
    assert isinstance(caught.value, CheckpointError)


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lightkube", None)
    monkeypatch.delitem(sys.modules, "checkpointkit.kubernetes.kubeconfig", raising=False)
    with pytest.raises(MissingExtraError, match=r"checkpointkit\[kubernetes\]"):
        KubernetesLookup.connect("kubeconfig")


# ---------------------------------------------------------------------------------------- laws

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["web", "pods", "Pod", UID, ""]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["kind", "metadata", "name", "uid", "spec", "reason", "details"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)
statuses = st.sampled_from([200, 404, 403, 500, 0])


@given(statuses, anything)
def test_no_answer_is_too_odd(status: int, decoded: Any) -> None:
    found = read_pod(status, decoded, "default", "web")
    assert isinstance(found, Absent | Present | Failed)
    assert status in {200, 404} or isinstance(found, Failed)
    named = read_namespace(status, decoded, "default")
    assert isinstance(named, str | Absent | Failed)


uids = st.sampled_from(["", UID, OTHER, STATIC])


@given(
    uids,
    st.builds(
        Present,
        st.frozensets(uids.filter(bool), min_size=1),
        st.booleans(),
        st.frozensets(st.sampled_from(["app", "b"]), min_size=1),
    )
    | st.sampled_from([Level.POD, Level.NAMESPACE]),
)
def test_what_is_gone_is_never_static_nor_what_is_there(uid: str, found: Present | Level) -> None:
    verdict = judge(Parent(WEB, uid), found)
    if isinstance(found, Level):
        assert verdict == found or (is_static(uid) and isinstance(verdict, Failed))
        return
    is_it = not uid or uid in found.uids
    if is_it and "app" in found.containers:
        assert verdict is None
    if verdict is Level.CONTAINER:
        assert is_it
    if verdict is Level.POD:
        assert not is_it
        assert not is_static(uid)
        assert not found.is_mirror
    assert verdict is not Level.NAMESPACE
