"""The lock file as a whole: edited, cut, taken back; and what is asked of downgrades."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
from attrs import evolve, frozen

from checkpointkit import Downgrade, LockFileError, MissingMigrationError, Payload, Schema
from checkpointkit.envelope import open_envelope, seal_envelope
from checkpointkit.evolution.findings import Broken, Finding
from checkpointkit.evolution.goldens import GOLDEN_KEY, Goldens
from checkpointkit.evolution.lockfile import LockedKind, LockedVersion, LockFile
from checkpointkit.fingerprint import Shape, fingerprint
from tests.evolution.formats import Formats

KIND = "example.com/lease"


@frozen
class One:
    holder: str
    seconds: int


@frozen
class Two:
    holder: str
    ms: int


@frozen
class Other:
    holder: str
    minutes: int


def to_ms(old: Payload) -> Payload:
    return {"holder": old["holder"], "ms": old["seconds"] * 1000}


def to_seconds(new: Payload) -> Payload:
    return {"holder": new["holder"], "seconds": new["ms"] // 1000}


ONE = Schema(One, kind=KIND, version=1)
SHAPE: Shape = {"record": {"holder": "str", "seconds": "int"}}


def two(**options: Any) -> Schema[Two]:
    return Schema(Two, **{"kind": KIND, "version": 2, "migrations": {1: to_ms}, **options})


@cache
def first() -> Formats:
    formats = Formats()
    formats.accept(ONE)
    return formats


@cache
def second() -> Formats:
    formats = first().copy()
    formats.accept(two())
    return formats


def with_entry(formats: Formats, version: int, entry: LockedVersion | None) -> Formats:
    """Return the formats with another entry of a version; without it for None."""
    again = formats.copy()
    locked = formats.lock.kinds[KIND]
    versions = {number: each for number, each in locked.versions.items() if number != version}
    if entry is not None:
        versions[version] = entry
    kind = LockedKind(dict(sorted(versions.items())), locked.reads_from, locked.retired)
    again.lock = LockFile({KIND: kind})
    return again


def entry(formats: Formats, version: int) -> LockedVersion:
    found = formats.lock.version(KIND, version)
    assert found is not None
    return found


def only(findings: tuple[Finding, ...]) -> Finding:
    (finding,) = findings
    return finding


def test_what_was_accepted_is_fine() -> None:
    assert first().check(ONE) == ()
    assert second().check(two()) == ()
    assert second().check(two(), against=first()) == ()
    assert second().check(two(), against=second()) == ()


# ------------------------------------------------------------------------- an entry that was edited


def test_a_shape_that_was_edited_is_told_by_the_fingerprint_beside_it() -> None:
    edited = with_entry(second(), 1, evolve(entry(second(), 1), shape="json"))
    finding = only(edited.check(two()))
    assert (finding.rule, finding.version) == ("edited-entry", 1)
    assert fingerprint("json") in finding.message
    assert "git checkout" in finding.edit


def test_a_shape_that_was_edited_with_its_fingerprint_is_told_by_the_goldens() -> None:
    changed: Shape = {"record": {"holder": "str", "minutes": "int"}}
    edit = evolve(entry(second(), 1), shape=changed, fingerprint=fingerprint(changed))
    assert only(with_entry(second(), 1, edit).check(two())).rule == "edited-goldens"


def test_the_lock_file_edited_to_fit_a_changed_class_is_told_by_the_goldens() -> None:
    shape = Schema(Other, kind=KIND, version=1).shape
    edit = evolve(entry(first(), 1), shape=shape, fingerprint=fingerprint(shape))
    formats = with_entry(first(), 1, edit)
    rules = formats.rules(Schema(Other, kind=KIND, version=1))
    assert rules == ["golden-changed", "edited-goldens"]


def test_a_digest_that_was_edited() -> None:
    edited = with_entry(first(), 1, evolve(entry(first(), 1), goldens="sha256:" + "0" * 64))
    assert only(edited.check(ONE)).rule == "edited-goldens"


def test_goldens_that_are_missing() -> None:
    formats = second().copy()
    del formats.goldens[KIND, 1]
    finding = only(formats.check(two()))
    assert (finding.rule, finding.version) == ("edited-goldens", 1)
    assert "commit the directory of the goldens" in finding.edit


def replaced(formats: Formats, version: int, goldens: Goldens) -> Formats:
    """Return the formats with other goldens, and an entry that names their digest."""
    edit = evolve(entry(formats, version), goldens=goldens.digest)
    again = with_entry(formats, version, edit)
    again.goldens[KIND, version] = goldens
    return again


def test_goldens_of_another_version_under_a_digest_that_fits() -> None:
    formats = replaced(second(), 1, Goldens(second().goldens[KIND, 2].envelopes))
    findings = {finding.rule: finding for finding in formats.check(two())}
    assert "version 2" in findings["edited-goldens"].message


def test_goldens_that_are_no_envelopes_any_more() -> None:
    envelope = first().goldens[KIND, 1].envelopes[0]
    rotten = envelope.replace(b'"generation":1', b'"generation":2', 1)
    formats = replaced(first(), 1, Goldens((rotten,)))
    rules = formats.rules(ONE)
    assert "edited-goldens" in rules


# -------------------------------------------------------------------------------- against a release


def test_the_lock_edited_after_a_release_is_found_against_it() -> None:
    formats = Formats()
    formats.accept(Schema(Other, kind=KIND, version=1))  # a lock made anew: consistent in itself
    schema = Schema(Other, kind=KIND, version=1)
    assert formats.check(schema) == ()
    finding = only(formats.check(schema, against=first()))
    assert (finding.rule, finding.version) == ("released-changed", 1)
    assert "+ minutes: int" in finding.message
    assert "- seconds: int" in finding.message
    assert "new version" in finding.edit


@pytest.mark.parametrize("changes", [{"goldens": "sha256:" + "1" * 64}, {"fingerprint": "fp2:00"}])
def test_another_digest_or_fingerprint_than_the_release_has(changes: dict[str, str]) -> None:
    released = with_entry(first(), 1, evolve(entry(first(), 1), **changes))
    assert only(first().check(ONE, against=released)).rule == "released-changed"


def test_a_version_that_a_release_has_must_stay() -> None:
    formats = with_entry(second(), 1, None)
    findings = formats.check(two(), against=second())
    assert [(finding.rule, finding.version) for finding in findings] == [
        ("edited-entry", 1),  # the goldens of version 2 know of it
        ("released-removed", 1),
    ]


def test_a_kind_that_a_release_has_must_stay() -> None:
    finding = only(Formats().check(against=first()))
    assert (finding.rule, finding.kind, finding.version) == ("released-removed", KIND, None)


def test_a_version_that_was_taken_out_between_two_others_is_missed() -> None:
    formats = second().copy()
    formats.accept(Schema(Two, kind=KIND, version=3, migrations={1: to_ms, 2: dict}))
    three = Schema(Two, kind=KIND, version=3, migrations={1: to_ms, 2: dict})
    assert formats.check(three) == ()
    for gone in (1, 2):
        finding = only(with_entry(formats, gone, None).check(three))
        assert (finding.rule, finding.version) == ("edited-entry", gone)


def test_goldens_that_were_emptied_or_cut_under_a_digest_that_fits() -> None:
    emptied = replaced(second(), 2, Goldens(()))
    assert "edited-goldens" in emptied.rules(two())
    cut = replaced(second(), 2, Goldens(second().goldens[KIND, 2].envelopes))
    finding = only(cut.check(two()))
    assert (finding.rule, finding.version) == ("edited-goldens", 1)


def test_a_fingerprint_of_another_algorithm_does_not_switch_the_comparison_off() -> None:
    edit = evolve(entry(first(), 1), shape="json", fingerprint="fp2:00")
    assert "edited-goldens" in with_entry(first(), 1, edit).rules(ONE)


# ----------------------------------------------------------------------------------- what is listed


def test_a_kind_that_is_listed_no_more() -> None:
    finding = only(first().check())
    assert (finding.rule, finding.kind) == ("not-listed", KIND)
    assert f"checkpointkit schema accept --retire {KIND}" in finding.edit
    assert finding.text().startswith(f"{KIND}: not-listed\n")


def test_a_kind_may_be_that_of_a_module_that_cannot_be_imported() -> None:
    broken = Broken("agent.state:LEASES", SyntaxError("invalid syntax"))
    assert first().rules(broken) == ["not-importable"]


def test_a_kind_that_is_listed_again_is_not_retired() -> None:
    formats = first().copy()
    formats.accept(retire=[KIND])
    finding = only(formats.check(ONE))
    assert (finding.rule, finding.message) == (
        "not-accepted",
        "it is listed, and the lock file has it as retired",
    )
    assert formats.accept(ONE) == (f"{KIND}: not retired any more",)
    assert formats.check(ONE) == ()
    assert formats.accept(ONE, retire=[KIND]) == (f"{KIND}: not retired, as it is listed",)


def test_two_schemas_of_one_kind() -> None:
    findings = first().check(ONE, ONE)
    assert [finding.rule for finding in findings] == ["listed-twice"]
    assert "agent.state:S0" in findings[0].message


def test_a_kind_that_was_never_accepted() -> None:
    finding = only(Formats().check(ONE))
    assert (finding.rule, finding.version) == ("not-accepted", None)
    assert "checkpointkit schema accept" in finding.edit


def test_a_module_that_cannot_be_imported_is_one_finding() -> None:
    error = ImportError("No module named 'agent'")
    broken = [Broken(f"agent.state:S{number}", error) for number in range(3)]
    wrong = Broken("x:Y", LockFileError("x:Y", "there is no Y in it; is Z meant?"))
    findings = Formats().check(*broken, wrong)
    assert [finding.rule for finding in findings] == ["not-importable"] * 2
    assert findings[1].message == "there is no Y in it; is Z meant?"
    assert findings[0].text().splitlines()[:2] == [
        "agent.state:S0: not-importable",
        "    it cannot be imported: ImportError: No module named 'agent'",
    ]


def test_a_gap_between_accepted_versions_gets_the_stub_from_one_to_the_other() -> None:
    with pytest.raises(MissingMigrationError) as caught:
        Schema(Two, kind=KIND, version=4, migrations={1: to_ms, 2: dict})
    finding = only(second().check(Broken("agent.state:LEASES", caught.value)))
    assert finding.stub == ""  # version 3 was never accepted: nobody knows its shape
    assert finding.edit == "in agent.state: add 3: to_4 to migrations"
    with pytest.raises(MissingMigrationError) as caught:
        Schema(Two, kind=KIND, version=3, migrations={1: to_ms})
    finding = only(second().check(Broken("agent.state:LEASES", caught.value)))
    assert finding.stub == "def to_3(old: Payload) -> Payload:  # 2 -> 3\n    return old\n"


def test_a_step_that_is_missing_at_the_start_goes_to_the_shape_that_was_accepted() -> None:
    formats = second().copy()
    formats.accept(Schema(Two, kind=KIND, version=3, migrations={1: to_ms, 2: dict}))
    finding = only(formats.check(Schema(Two, kind=KIND, version=3, migrations={2: dict})))
    assert (finding.rule, finding.version) == ("missing-migration", 1)
    assert 'old["ms"] = old.pop("seconds")' in finding.stub


def test_a_finding_reads_well() -> None:
    changed = Schema(Other, kind=KIND, version=1)
    assert only(first().check(changed)).text() == (
        "example.com/lease, version 1 (agent.state:S0): shape-changed\n"
        "    its class has changed, and its version has not:\n"
        "      + minutes: int\n"
        "      - seconds: int\n"
        "    in agent.state: set version=2, and add 1: to_2 to migrations; then run "
        "`checkpointkit schema accept` and commit what it writes\n"
        "    (the function is below; Payload comes from checkpointkit)\n"
        "    (if no release has version 1 yet: `checkpointkit schema accept --amend`)\n"
        "\n"
        "    def to_2(old: Payload) -> Payload:  # 1 -> 2\n"
        '        old["minutes"] = old.pop("seconds")  # renamed, or is it not?\n'
        "        return old"
    )


# -------------------------------------------------------------------- another fingerprint algorithm


def test_a_fingerprint_of_another_algorithm_never_looks_like_drift() -> None:
    # as a release of checkpointkit with another algorithm finds what this one has accepted
    def of_another_algorithm(envelope: bytes) -> bytes:
        record = open_envelope(envelope, GOLDEN_KEY)
        return seal_envelope(record.header._replace(fingerprint="fp0:00"), record.payload)[0]

    goldens = Goldens(tuple(map(of_another_algorithm, first().goldens[KIND, 1].envelopes)))
    older = replaced(first(), 1, goldens)
    again = with_entry(older, 1, evolve(entry(older, 1), fingerprint="fp0:00"))
    again.goldens = older.goldens
    assert again.check(ONE) == ()


# --------------------------------------------------------------------------------------- downgrades


def test_a_downgrade_that_loses_what_the_older_version_can_say() -> None:
    def forgets(new: Payload) -> Payload:
        return {"holder": new["holder"].strip(), "seconds": new["ms"] // 1000}

    fine = two(downgrades={2: Downgrade(to_seconds, SHAPE)}, write_version=1)
    assert second().check(fine) == ()
    finding = only(second().check(two(downgrades={2: Downgrade(forgets, SHAPE)}, write_version=1)))
    assert (finding.rule, finding.version) == ("downgrade-loss", 2)
    assert "holder" in finding.message


def test_a_downgrade_with_another_shape_than_the_accepted_one() -> None:
    wrong = two(downgrades={2: Downgrade(to_seconds, {"record": {"holder": "str"}})})
    finding = only(second().check(wrong))
    assert (finding.rule, finding.version) == ("downgrade-shape", 1)
    assert finding.edit == f"in agent.state: 2: Downgrade(to_seconds, shape={SHAPE!r})"
    unnamed = two(downgrades={2: Downgrade(Step(), {"record": {"holder": "str"}})})
    assert "Downgrade(...," in only(second().check(unnamed)).edit


class Step:
    def __call__(self, new: Payload) -> Payload:
        return to_seconds(new)
