"""The power of real file systems is cut while processes save: nothing acknowledged is lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.realfs.cuts import cut_again_and_again
from tests.realfs.images import Image, Nested, in_own_mounts
from tests.support.children import Child

pytestmark = [pytest.mark.realfs, pytest.mark.root]

CUTS = 30
KINDS = ["ext4", "ext4 data=writeback", "xfs", "btrfs"]


def make(kind: str, directory: Path) -> Image:
    name, _, options = kind.partition(" ")
    if name == "btrfs":
        return Nested(name, directory / "image", directory / "disk")
    return Image(name, directory / "image", directory / "disk", options=options)


@pytest.mark.parametrize("kind", KINDS)
def test_a_power_cut_takes_nothing_that_was_acknowledged(kind: str, quick: Path) -> None:
    def work(child: Child) -> None:
        outcome = cut_again_and_again(make(kind, quick), CUTS, seed=5)
        assert outcome.violations == []
        assert outcome.counts["cuts"] == CUTS
        if kind != "xfs":  # whose directory syncs may still succeed while it is being stopped
            assert outcome.counts["late acknowledgements lost"] == 0
        if "writeback" not in kind:  # which uses blocks anew before it has noted that they are free
            assert outcome.counts["rotten pruned"] == 0
        assert outcome.counts["done"] > 10 * CUTS
        child.say(f"{kind}: {dict(outcome.counts)}")

    print(*in_own_mounts(kind.partition(" ")[0], work))  # noqa: T201 - the figures of this run


@pytest.mark.parametrize("kind", KINDS)
def test_without_syncs_the_same_cuts_take_what_was_acknowledged(kind: str, quick: Path) -> None:
    def work(child: Child) -> None:
        outcome = cut_again_and_again(make(kind, quick), 6, seed=6, durability="none")
        assert any(" is " in violation for violation in outcome.violations)
        child.say(f"{kind}: {len(outcome.violations)} violations")

    print(*in_own_mounts(kind.partition(" ")[0], work))  # noqa: T201 - the figures of this run
