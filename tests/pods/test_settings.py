"""Flags and environment become settings, or a message that says what to do."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checkpointkit.pods.assets import Roots
from checkpointkit.pods.daemon.durations import duration_text, parse_duration
from checkpointkit.pods.daemon.flags import Flags
from checkpointkit.pods.daemon.settings import (
    Directories,
    KubeletAccess,
    read_directories,
    read_settings,
)
from checkpointkit.pods.model import PodName, Scope

POD = {
    "NODE_NAME": "node1",
    "POD_NAME": "pod-checkpointer-q9zlm",
    "POD_NAMESPACE": "kube-system",
    "HOST_IP": "192.0.2.7",
}
KUBECONFIG = "/etc/checkpointer/kubeconfig"


def refused(environment: dict[str, str] = POD, /, **flags: Any) -> str:
    with pytest.raises(ValueError, match=r".") as caught:
        read_settings(Flags(**{"kubeconfig": KUBECONFIG, **flags}), environment)
    return str(caught.value)


# ---------------------------------------------------------------------------------- durations


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        # those of Go's own test, src/time/time_test.go (1.24), but for the negative ones
        ("0", 0),
        ("5s", 5),
        ("30s", 30),
        ("1478s", 1478),
        ("+5s", 5),
        ("+0", 0),
        ("5.0s", 5),
        ("5.6s", 5.6),
        ("5.s", 5),
        (".5s", 0.5),
        ("1.0s", 1),
        ("1.00s", 1),
        ("1.004s", 1.004),
        ("1.0040s", 1.004),
        ("100.00100s", 100.001),
        ("10ns", 10e-9),
        ("11us", 11e-6),
        ("12\u00b5s", 12e-6),
        ("12\u03bcs", 12e-6),
        ("13ms", 13e-3),
        ("14s", 14),
        ("15m", 900),
        ("16h", 57600),
        ("3h30m", 12600),
        ("10.5s4m", 250.5),
        ("1h2m3s4ms5us6ns", 3723.004005006),
        ("39h9m14.425s", 140954.425),
        ("52763797000ns", 52.763797),
        ("0.3333333333333333333h", 1200),
        ("9007199254740993ns", 9007199.254740993),
        ("9223372036854775807ns", 9223372036.854776),
        ("0.830103483285477580700h", 2988.372539827),
        ("0.9223372036854775807h", 3320.413933267719),
    ],
)
def test_a_duration_is_what_go_takes_it_for(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds, rel=1e-12)


@pytest.mark.parametrize(
    "text",
    [
        *("", "3", "-", "s", ".", "-.", ".s", "+.s", "1d", "-3.1", "+", "-1s"),
        *("\x85\x85", "\xffff", "9223372036854775808ns", "9223372036854775.808us", "3000000h"),
        *("1 s", "1s ", "1S", "1__0s", "\u0661s", "1e3s", "1m30", "1.2.3s", "++1s"),
    ],
)
def test_what_go_takes_for_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"is no duration such as 1m30s"):
        parse_duration(text)


@given(st.integers(0, 2**52))
def test_a_duration_is_read_as_it_was_written(nanoseconds: int) -> None:
    seconds = nanoseconds / 10**9
    assert parse_duration(duration_text(seconds)) == seconds


@given(
    st.lists(
        st.tuples(st.integers(0, 10**6), st.sampled_from(["h", "m", "s", "ms", "us", "ns"])),
        min_size=1,
        max_size=5,
    )
)
def test_a_duration_is_the_sum_of_its_parts(parts: list[tuple[int, str]]) -> None:
    texts = [f"{number}{unit}" for number, unit in parts]
    assert parse_duration("".join(texts)) == pytest.approx(sum(map(parse_duration, texts)))


# ----------------------------------------------------------------------------------- settings


def test_a_pod_needs_no_flag_but_the_kubeconfig() -> None:
    settings = read_settings(Flags(kubeconfig=KUBECONFIG), POD)
    assert settings.scope == Scope("node1", frozenset({"kube-system"}))
    assert settings.own == PodName("kube-system", "pod-checkpointer-q9zlm")
    assert settings.kubeconfig == KUBECONFIG
    assert settings.kubelet == KubeletAccess("https://192.0.2.7:10250")
    assert settings.kubelet.is_anonymous
    assert settings.runtime_endpoint == "unix:///run/containerd/containerd.sock"
    assert (settings.runtime_timeout, settings.grace, settings.interval) == (10, 60, 5)
    assert settings.lock_file == "/var/run/lock/pod-checkpointer.lock"
    assert settings.directories == Directories(
        "/var/lib/checkpointkit/pods",
        "/etc/kubernetes/inactive-manifests",
        "/etc/kubernetes/manifests",
        Roots(),
    )
    assert settings.metrics is None
    assert (settings.keep_labels, settings.once) == (False, False)


def test_its_own_copy_is_the_same_checkpointer() -> None:
    copy = {**POD, "POD_NAME": "pod-checkpointer-q9zlm-node1"}
    flags = Flags(kubeconfig=KUBECONFIG)
    assert read_settings(flags, copy) == read_settings(flags, POD)


def test_every_flag_counts() -> None:
    settings = read_settings(
        Flags(
            node="node2",
            namespaces="kube-system,monitoring",
            kubeconfig="/a",
            container_runtime_endpoint="/run/crio/crio.sock",
            runtime_request_timeout="1s",
            checkpoint_grace_period="0s",
            interval="500ms",
            lock_file="/lock",
            state_directory="/state/",
            inactive_manifests="/inactive",
            manifests="//active",
            checkpoint_secrets="/secrets",
            checkpoint_configmaps="/maps",
            kubelet_url="https://node2:10250/",
            kubelet_token_file="/token",
            kubelet_certificate="/certificate",
            kubelet_key="/key",
            kubelet_ca="/ca",
            kubelet_server_name="node2",
            metrics="[::1]:9090",
            keep_labels=True,
            once=True,
        ),
        POD,
    )
    assert settings.scope == Scope("node2", frozenset({"kube-system", "monitoring"}))
    assert settings.runtime_endpoint == "unix:///run/crio/crio.sock"
    assert (settings.runtime_timeout, settings.grace, settings.interval) == (1, 0, 0.5)
    assert settings.lock_file == "/lock"
    assert settings.directories == Directories(
        "/state", "/inactive", "/active", Roots("/secrets", "/maps")
    )
    assert settings.kubelet == KubeletAccess(
        "https://node2:10250/", "/token", "/certificate", "/key", "/ca", "node2"
    )
    assert not settings.kubelet.is_anonymous
    assert settings.metrics == ("::1", 9090)
    assert (settings.keep_labels, settings.once) == (True, True)


def test_a_daemon_may_run_as_no_pod() -> None:
    settings = read_settings(
        Flags(kubeconfig=KUBECONFIG, namespaces="kube-system"), {"NODE_NAME": "node1"}
    )
    assert settings.own is None
    assert settings.kubelet.url == "https://127.0.0.1:10250"


def test_an_address_of_ipv6_gets_its_brackets() -> None:
    settings = read_settings(Flags(kubeconfig=KUBECONFIG), {**POD, "HOST_IP": "2001:db8::7"})
    assert settings.kubelet.url == "https://[2001:db8::7]:10250"


def test_the_read_only_port_is_asked_when_its_url_is_given() -> None:
    settings = read_settings(
        Flags(kubeconfig=KUBECONFIG, kubelet_url="http://127.0.0.1:10255"), POD
    )
    assert settings.kubelet == KubeletAccess("http://127.0.0.1:10255")
    assert not settings.kubelet.is_anonymous


@pytest.mark.parametrize("name", ["kubelet_token_file", "kubelet_ca", "kubelet_server_name"])
def test_nothing_secret_goes_to_a_port_that_is_not_encrypted(name: str) -> None:
    said = refused(kubelet_url="http://127.0.0.1:10255", **{name: "/file"})
    assert f"--{name.replace('_', '-')}" in said


def test_in_cluster_configuration_is_refused_and_it_is_said_why() -> None:
    assert "in-cluster" in refused(kubeconfig="")


@pytest.mark.parametrize("account", ["/var/run", "/run", "/var/run/../run"])
@pytest.mark.parametrize("name", ["kubeconfig", "kubelet_token_file", "kubelet_ca"])
def test_a_file_that_its_own_copy_has_not_is_refused(name: str, account: str) -> None:
    path = f"{account}/secrets/kubernetes.io/serviceaccount/token"
    assert "the checkpointer's own copy does not have" in refused(**{name: path})


@pytest.mark.parametrize(
    ("environment", "flags", "said"),
    [
        ({}, {}, "NODE_NAME"),
        ({**POD, "NODE_NAME": "../node"}, {}, "NODE_NAME"),
        (POD, {"node": "NODE"}, "--node"),
        ({"NODE_NAME": "node1"}, {}, "--namespaces"),
        (POD, {"namespaces": "kube-system,"}, "--namespaces"),
        (POD, {"namespaces": "kube-system, monitoring"}, "--namespaces"),
        ({**POD, "POD_NAMESPACE": ""}, {"namespaces": "a"}, "POD_NAMESPACE"),
        ({**POD, "POD_NAME": "../a"}, {}, "POD_NAME"),
        (POD, {"kubeconfig": "kubeconfig"}, "--kubeconfig is no absolute path"),
        (POD, {"container_runtime_endpoint": "tcp://127.0.0.1:1"}, "--container-runtime-endpoint"),
        (POD, {"container_runtime_endpoint": ""}, "--container-runtime-endpoint"),
        (POD, {"runtime_request_timeout": "0"}, "--runtime-request-timeout is 0"),
        (POD, {"interval": "0s"}, "--interval is 0"),
        (POD, {"interval": "5"}, "--interval: '5' is no duration"),
        (POD, {"checkpoint_grace_period": "-1s"}, "--checkpoint-grace-period: '-1s'"),
        (POD, {"lock_file": "lock"}, "--lock-file"),
        (POD, {"state_directory": "/a\0b"}, "--state-directory"),
        (POD, {"kubelet_url": "127.0.0.1:10250"}, "--kubelet-url"),
        (POD, {"kubelet_url": "https://"}, "--kubelet-url"),
        (POD, {"kubelet_url": "ftp://a"}, "--kubelet-url"),
        (POD, {"kubelet_url": "https://a:99999"}, "--kubelet-url"),
        (POD, {"kubelet_url": "https://a/pods"}, "--kubelet-url"),
        (POD, {"kubelet_url": "https://user@a"}, "--kubelet-url"),
        (POD, {"kubelet_url": "https://[a"}, "--kubelet-url"),
        (POD, {"kubelet_certificate": "/c"}, "--kubelet-key"),
        (POD, {"kubelet_key": "/k"}, "--kubelet-certificate"),
        (POD, {"metrics": "9090"}, "--metrics"),
        (POD, {"metrics": ":9090"}, "--metrics"),
        (POD, {"metrics": "localhost:"}, "--metrics"),
        (POD, {"metrics": "localhost:65536"}, "--metrics"),
        (POD, {"metrics": "http://localhost:1"}, "--metrics"),
        (POD, {"metrics": "[]:1"}, "--metrics"),
    ],
)
def test_what_makes_no_sense_is_refused_by_its_name(
    environment: dict[str, str], flags: dict[str, Any], said: str
) -> None:
    assert said in refused(environment, **flags)


def flags_of(typed: dict[str, Any]) -> Flags:
    return Flags(**typed)


DIRECTORIES = (
    *("state_directory", "inactive_manifests", "manifests"),
    *("checkpoint_secrets", "checkpoint_configmaps"),
)


@pytest.mark.parametrize("other", DIRECTORIES)
@pytest.mark.parametrize("name", DIRECTORIES)
def test_no_two_kinds_of_files_share_a_directory(name: str, other: str) -> None:
    # a copy in the kubelet's directory would run beside its parent
    if name == other:
        return
    flags = flags_of({name: "/a/b", other: "/a/./b/"})
    with pytest.raises(ValueError, match="each needs one of its own"):
        read_directories(flags)
    with pytest.raises(ValueError, match="each needs one of its own"):
        read_directories(flags_of({name: "/a/b/c", other: "/a/b"}))
    with pytest.raises(ValueError, match="each needs one of its own"):
        read_directories(flags_of({name: "/"}))
    made = read_directories(flags_of({name: "/a/b", other: "/a/b-c"}))
    assert PurePosixPath("/a/b-c") in {
        PurePosixPath(path)
        for path in (
            made.state,
            made.inactive,
            made.active,
            made.roots.secrets,
            made.roots.configmaps,
        )
    }


def test_its_own_namespace_is_among_those_that_are_watched() -> None:
    environment = {"NODE_NAME": "n", "POD_NAMESPACE": "kube-system", "POD_NAME": "checkpointer-1"}
    flags = Flags(kubeconfig="/k", namespaces="prod,db")
    assert read_settings(flags, environment).scope.namespaces == {"prod", "db", "kube-system"}
    del environment["POD_NAME"]
    assert read_settings(flags, environment).scope.namespaces == {"prod", "db"}
