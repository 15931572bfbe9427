"""The policy that a command is to go by: a file's, that of the flags, or the default."""

from __future__ import annotations

import shlex
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from attrs import frozen

from checkpointkit.archives.amounts import parse_duration
from checkpointkit.archives.errors import PolicyError
from checkpointkit.archives.model import DEFAULT_DIRECTORY
from checkpointkit.archives.policies import DEFAULT_RULES, Policy, Rules
from checkpointkit.cli.archives.arguments import COUNTS
from checkpointkit.cli.outcome import USAGE, Refused
from checkpointkit.cli.text import printable

if TYPE_CHECKING:
    import argparse


@frozen
class Chosen:
    """A policy, and where it comes from.

    Attributes:
        policy: The policy.
        words: What it is called.
        typed: How it is typed again.
        directory: Where it says that the archives are; empty where it does not.
        notes: What is to be said of it.
    """

    policy: Policy
    words: str
    typed: str = ""
    directory: str = ""
    notes: tuple[str, ...] = ()


def choose(arguments: argparse.Namespace) -> Chosen:
    """Return the policy to go by.

    Args:
        arguments: What was typed.

    Raises:
        Refused: Two policies were given, or the file cannot be read.
        PolicyError: The policy cannot be used.
    """
    given = dict(_rules(arguments))
    if arguments.policy is None:
        if not given:
            count = DEFAULT_RULES.container_count
            return Chosen(Policy(), f"the default policy, {count} of each container at most,")
        flags = "".join(f" {flag} {shlex.quote(str(value))}" for flag, value in _flags(arguments))
        return Chosen(Policy(rules=Rules(**given)), f"the policy{flags}", flags)
    if given:
        flag, _ = _flags(arguments)[0]
        raise Refused(
            f"{flag} does not go with --policy",
            "write the rule into the file",
            USAGE,
            "TwoPolicies",
        )
    from checkpointkit.archives.policyfiles.reading import load_policy  # noqa: PLC0415 - for a file alone

    source = arguments.policy
    found = load_policy(source)
    return Chosen(
        found.policy,
        f"the policy of {printable(source)}",
        f" --policy {shlex.quote(source)}",
        "" if found.directory == DEFAULT_DIRECTORY else found.directory,
        found.notes,
    )


def duration(arguments: argparse.Namespace, name: str) -> timedelta:
    """Return a duration that was typed.

    Args:
        arguments: What was typed.
        name: The flag, without dashes.

    Raises:
        PolicyError: It is none; the flag is named.
    """
    text = getattr(arguments, name.replace("-", "_"))
    if name == "settle" and text == "0s":
        return timedelta()
    try:
        return parse_duration(text)
    except PolicyError as error:
        # `none` is for a file; a flag is left away
        raise PolicyError(f"--{name}", error.reason.partition("; write none")[0]) from error


def _flags(arguments: argparse.Namespace) -> list[tuple[str, Any]]:
    names = [*(f"keep-{what}" for what in COUNTS), "keep-within", "max-age", "max-per-container"]
    typed = [(name, getattr(arguments, name.replace("-", "_"))) for name in names]
    return [(f"--{name}", value) for name, value in typed if value is not None]


def _rules(arguments: argparse.Namespace) -> list[tuple[str, Any]]:
    rules: list[tuple[str, Any]] = []
    for flag, value in _flags(arguments):
        name = flag.removeprefix("--")
        if name == "max-per-container":
            rules.append(("container_count", value))
        else:
            timed = name in {"keep-within", "max-age"}
            rules.append((name.replace("-", "_"), duration(arguments, name) if timed else value))
    return rules
