"""The errors: their tree, their fields, their messages, and the way through pickle."""

from __future__ import annotations

import copy
import pickle
import re
from typing import Any

import pytest

import checkpointkit
from checkpointkit import errors
from checkpointkit.errors import (
    BatchError,
    CheckpointError,
    CheckpointNotFoundError,
    CheckpointTooLargeError,
    ConflictError,
    CorruptCheckpointError,
    DowngradeLossError,
    EncodeError,
    EnvelopeVersionError,
    InvalidKeyError,
    LockFileError,
    LockTimeoutError,
    MigrationError,
    MissingExtraError,
    OutcomeUnknownError,
    ReadOnlyError,
    SchemaDriftError,
    StoreError,
    StoreUnavailableError,
    StructureError,
    VersionError,
    VersionTooNewError,
    VersionTooOldError,
    WrongKindError,
)

FULL = StoreError("b", "save", "No space left on device")

# Each error with its fields and its message, exactly.
SAMPLES: list[tuple[CheckpointError, dict[str, Any], str]] = [
    (
        InvalidKeyError("'../a'", "use letters"),
        {"key": "'../a'", "reason": "use letters"},
        "'../a' is no key: use letters",
    ),
    (CheckpointNotFoundError("a"), {"key": "a", "generation": None}, "no checkpoint 'a'"),
    (
        CheckpointNotFoundError("a", 3),
        {"key": "a", "generation": 3},
        "no checkpoint 'a', generation 3",
    ),
    (
        CorruptCheckpointError("a", None, "it is empty"),
        {"key": "a", "generation": None, "reason": "it is empty", "recoverable": True},
        "checkpoint 'a' is corrupt: it is empty; recover() goes on from the newest good generation",
    ),
    (
        CorruptCheckpointError("a", 3, "it is empty"),
        {"key": "a", "generation": 3, "reason": "it is empty", "recoverable": True},
        (
            "checkpoint 'a', generation 3 is corrupt: it is empty; "
            "recover() goes on from the newest good generation"
        ),
    ),
    (
        CorruptCheckpointError("a", 3, "it is empty", recoverable=False),
        {"key": "a", "generation": 3, "reason": "it is empty", "recoverable": False},
        (
            "checkpoint 'a', generation 3 is corrupt: it is empty; "
            "no older generation is good: copy what you need, then remove() it"
        ),
    ),
    (
        EnvelopeVersionError("a", 2, 1),
        {"key": "a", "stored": 2, "supported": 1},
        (
            "checkpoint 'a' has envelope version 2, this release reads up to 1; "
            "upgrade checkpointkit, the file is untouched"
        ),
    ),
    (
        WrongKindError("a", "example.com/b", "example.com/a"),
        {"key": "a", "stored": "example.com/b", "expected": "example.com/a"},
        (
            "checkpoint 'a' holds kind 'example.com/b', not 'example.com/a'; "
            "use another key or another scope, the file is untouched"
        ),
    ),
    (
        VersionError("a", 9, 1, 3),
        {"key": "a", "stored": 9, "oldest": 1, "newest": 3},
        "checkpoint 'a' has schema version 9, this release reads 1 to 3; the file is untouched",
    ),
    (
        VersionTooNewError("a", 4, 1, 3),
        {"key": "a", "stored": 4, "oldest": 1, "newest": 3},
        (
            "checkpoint 'a' has schema version 4, this release reads 1 to 3; "
            "run the newer release, or roll back or remove the key; the file is untouched"
        ),
    ),
    (
        VersionTooOldError("a", 1, 2, 3),
        {"key": "a", "stored": 1, "oldest": 2, "newest": 3},
        (
            "checkpoint 'a' has schema version 1, this release reads 2 to 3; "
            "migrate it with a release in between; the file is untouched"
        ),
    ),
    (
        VersionTooNewError("a", 4, 3, 3),
        {"key": "a", "stored": 4, "oldest": 3, "newest": 3},
        (
            "checkpoint 'a' has schema version 4, this release reads 3 alone; "
            "run the newer release, or roll back or remove the key; the file is untouched"
        ),
    ),
    (
        SchemaDriftError("a", 2, "fp1:0", "fp1:1"),
        {"key": "a", "version": 2, "stored": "fp1:0", "expected": "fp1:1", "problems": ()},
        (
            "checkpoint 'a' was saved as schema version 2 with another shape: its fingerprint is "
            "fp1:0 and the class has fp1:1, see `checkpointkit schema diff`; "
            "raise the schema's version and add a migration (or correct the shape of a "
            "Downgrade), the file is untouched"
        ),
    ),
    (
        SchemaDriftError("a", 2, "fp1:0", "fp1:1", ("n: missing", "m: expected int, got str")),
        {
            "key": "a",
            "version": 2,
            "stored": "fp1:0",
            "expected": "fp1:1",
            "problems": ("n: missing", "m: expected int, got str"),
        },
        (
            "checkpoint 'a' was saved as schema version 2 with another shape: it does not fit the "
            "class: n: missing; m: expected int, got str; "
            "raise the schema's version and add a migration (or correct the shape of a "
            "Downgrade), the file is untouched"
        ),
    ),
    (
        MigrationError("a", 1, "raised KeyError at pods[0].uid"),
        {"key": "a", "step": 1, "problem": "raised KeyError at pods[0].uid", "end": 2},
        (
            "checkpoint 'a': the migration from schema version 1 to 2 failed: raised KeyError at "
            "pods[0].uid; mend it, the file is untouched"
        ),
    ),
    (
        MigrationError("a", 2, "raised KeyError", 1),
        {"key": "a", "step": 2, "problem": "raised KeyError", "end": 1},
        (
            "checkpoint 'a': the downgrade from schema version 2 to 1 failed: raised KeyError; "
            "mend it, the file is untouched"
        ),
    ),
    (
        DowngradeLossError("a", 1, ("note", "pods[0].uid")),
        {"key": "a", "version": 1, "fields": ("note", "pods[0].uid")},
        (
            "checkpoint 'a' cannot be saved as schema version 1 without loss: note; pods[0].uid; "
            "leave them as the older release knows them until write_version goes up, nothing was "
            "changed"
        ),
    ),
    (
        LockFileError("src/a/checkpointkit.lock", "it is no JSON: line 3"),
        {"path": "src/a/checkpointkit.lock", "reason": "it is no JSON: line 3"},
        "src/a/checkpointkit.lock: it is no JSON: line 3",
    ),
    (
        EncodeError("a", ("n: expected int, got str", "m: missing")),
        {"key": "a", "problems": ("n: expected int, got str", "m: missing")},
        "checkpoint 'a' cannot be encoded: n: expected int, got str; m: missing",
    ),
    (
        StructureError(None, ("n: expected int, got str",)),
        {"key": None, "problems": ("n: expected int, got str",)},
        "checkpoint does not have the shape of its class: n: expected int, got str",
    ),
    (
        CheckpointTooLargeError("a", 11, 10),
        {"key": "a", "size": 11, "limit": 10},
        "checkpoint 'a' has 11 bytes, the limit is 10; raise the store's max_bytes or save less",
    ),
    (
        ConflictError("a", 3, 4),
        {"key": "a", "expected": 3, "actual": 4},
        "checkpoint 'a': expected generation 3, found generation 4; load it again and decide anew",
    ),
    (
        ConflictError("a", None, 4),
        {"key": "a", "expected": None, "actual": 4},
        "checkpoint 'a': expected no checkpoint, found generation 4; load it again and decide anew",
    ),
    (
        ConflictError("a", 3, None),
        {"key": "a", "expected": 3, "actual": None},
        "checkpoint 'a': expected generation 3, found no checkpoint; load it again and decide anew",
    ),
    (
        MissingExtraError("cli", "rich"),
        {"extra": "cli", "module": "rich"},
        "rich is missing; install it with: pip install 'checkpointkit[cli]'",
    ),
    (
        ReadOnlyError("save"),
        {"operation": "save"},
        "cannot save: the store was opened read-only",
    ),
    (
        LockTimeoutError("a", 10.0),
        {"key": "a", "timeout": 10.0},
        (
            "checkpoint 'a': the lock was not free within 10 s; another writer holds it "
            "(try again, or raise lock_timeout)"
        ),
    ),
    (
        LockTimeoutError(None, 0.5),
        {"key": None, "timeout": 0.5},
        (
            "store: the lock was not free within 0.5 s; another writer holds it "
            "(try again, or raise lock_timeout)"
        ),
    ),
    (
        FULL,
        {"key": "b", "operation": "save", "reason": "No space left on device"},
        "checkpoint 'b': save failed: No space left on device; the previous state is unchanged",
    ),
    (
        StoreError(None, "list", "Input/output error"),
        {"key": None, "operation": "list", "reason": "Input/output error"},
        "store: list failed: Input/output error; the previous state is unchanged",
    ),
    (
        StoreUnavailableError("a", "read", "Too many open files"),
        {"key": "a", "operation": "read", "reason": "Too many open files"},
        (
            "checkpoint 'a': read failed: Too many open files; "
            "the previous state is unchanged, try again"
        ),
    ),
    (
        OutcomeUnknownError("a", "save", "Input/output error"),
        {"key": "a", "operation": "save", "reason": "Input/output error"},
        (
            "checkpoint 'a': save failed: Input/output error; the change is in place, "
            "whether it is durable is not known; do it again to be sure"
        ),
    ),
]

PARENTS: dict[type[CheckpointError], tuple[type[BaseException], ...]] = {
    CheckpointError: (Exception,),
    InvalidKeyError: (CheckpointError, ValueError),
    CheckpointNotFoundError: (CheckpointError, LookupError),
    CorruptCheckpointError: (CheckpointError,),
    EnvelopeVersionError: (CheckpointError,),
    WrongKindError: (CheckpointError,),
    VersionError: (CheckpointError,),
    VersionTooNewError: (VersionError,),
    VersionTooOldError: (VersionError,),
    SchemaDriftError: (CheckpointError,),
    MigrationError: (CheckpointError,),
    DowngradeLossError: (CheckpointError,),
    LockFileError: (CheckpointError,),
    EncodeError: (CheckpointError,),
    StructureError: (CheckpointError,),
    CheckpointTooLargeError: (CheckpointError,),
    ConflictError: (CheckpointError,),
    BatchError: (CheckpointError,),
    MissingExtraError: (CheckpointError, ImportError),
    ReadOnlyError: (CheckpointError,),
    LockTimeoutError: (CheckpointError,),
    StoreError: (CheckpointError,),
    StoreUnavailableError: (StoreError,),
    OutcomeUnknownError: (StoreError,),
}


def public_parents(error: type[BaseException]) -> tuple[type[BaseException], ...]:
    """Return the bases of a class; a private one stands for its own bases."""
    found: list[type[BaseException]] = []
    for base in error.__bases__:
        private = base.__name__.startswith("_")
        found += public_parents(base) if private else [base]
    return tuple(found)


@pytest.mark.parametrize("error", PARENTS, ids=lambda error: error.__name__)
def test_each_error_stands_where_the_tree_has_it(error: type[CheckpointError]) -> None:
    assert public_parents(error) == PARENTS[error]


def test_the_tree_is_complete_and_every_leaf_has_a_sample() -> None:
    assert sorted(error.__name__ for error in PARENTS) == errors.__all__
    samples = {type(error) for error, _, _ in SAMPLES} | {CheckpointError, BatchError}
    assert samples == set(PARENTS)


def test_every_error_is_public_in_the_package() -> None:
    for name in errors.__all__:
        assert getattr(checkpointkit, name) is getattr(errors, name)
        assert name in checkpointkit.__all__


def test_the_public_names_are_sorted_and_all_there() -> None:
    names = checkpointkit.__all__
    assert names == sorted(set(names))
    assert all(hasattr(checkpointkit, name) for name in names)


def test_a_lost_race_is_not_disk_trouble() -> None:
    assert not issubclass(ConflictError, StoreError)
    assert not issubclass(ConflictError, OSError)


@pytest.mark.parametrize(("error", "fields", "message"), SAMPLES)
def test_fields_are_attributes_and_the_message_is_made_of_them(
    error: CheckpointError, fields: dict[str, Any], message: str
) -> None:
    assert vars(error) == fields
    assert error.args == tuple(fields.values())
    assert str(error) == message


@pytest.mark.parametrize(("error", "fields", "message"), SAMPLES)
def test_fields_may_be_given_by_name(
    error: CheckpointError, fields: dict[str, Any], message: str
) -> None:
    again = type(error)(**fields)
    assert (vars(again), str(again)) == (fields, message)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize(("error", "fields", "message"), SAMPLES)
def test_every_error_survives_pickling(
    error: CheckpointError, fields: dict[str, Any], message: str, protocol: int
) -> None:
    again = pickle.loads(pickle.dumps(error, protocol))
    assert type(again) is type(error)
    assert (vars(again), again.args, str(again)) == (fields, error.args, message)


@pytest.mark.parametrize(("error", "fields", "message"), SAMPLES)
def test_every_error_can_be_copied(
    error: CheckpointError, fields: dict[str, Any], message: str
) -> None:
    for again in (copy.copy(error), copy.deepcopy(error)):
        assert type(again) is type(error)
        assert again is not error
        assert (vars(again), str(again)) == (fields, message)


@pytest.mark.parametrize(("error", "fields", "message"), SAMPLES)
def test_messages_are_one_line_of_clean_text(
    error: CheckpointError, fields: dict[str, Any], message: str
) -> None:
    assert re.fullmatch(r"[ -~]+", message)
    assert "  " not in message
    assert not re.search(r"\bNone\b", message)
    assert not message.endswith((".", ";", ":", " "))


def test_notes_survive_pickling() -> None:
    error = ConflictError("a", 1, 2)
    error.add_note("while syncing pods")
    assert pickle.loads(pickle.dumps(error)).__notes__ == ["while syncing pods"]


@pytest.mark.parametrize(
    ("saved", "failed", "message"),
    [
        (
            ["a"],
            ["b"],
            (
                "of a batch, 1 saved and 1 failed; 'b': StoreError: checkpoint 'b': "
                "save failed: No space left on device; the previous state is unchanged"
            ),
        ),
        (
            [],
            ["b", "c"],
            (
                "of a batch, 0 saved and 2 failed; 'b': StoreError: checkpoint 'b': "
                "save failed: No space left on device; the previous state is unchanged"
            ),
        ),
        (["a"], [], "of a batch, 1 saved and 0 failed"),
    ],
)
def test_a_batch_error_counts_and_names_the_first(
    saved: list[str], failed: list[str], message: str
) -> None:
    error = BatchError(dict.fromkeys(saved, 1), dict.fromkeys(failed, FULL))
    assert str(error) == message


def test_a_batch_error_survives_pickling_with_all_that_is_in_it() -> None:
    error = BatchError({"a": 1}, {"b": FULL, "c": ConflictError("c", 1, 2)})
    for again in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert type(again) is BatchError
        assert again.saved == {"a": 1}
        assert {key: (type(e), vars(e)) for key, e in again.failed.items()} == {
            "b": (StoreError, vars(FULL)),
            "c": (ConflictError, {"key": "c", "expected": 1, "actual": 2}),
        }
        assert str(again) == str(error)


@pytest.mark.parametrize(
    ("error", "fields"),
    [
        (EncodeError(None, ("n: missing",)), {"key": "a", "problems": ("n: missing",)}),
        (StructureError(None, ("n: missing",)), {"key": "a", "problems": ("n: missing",)}),
        (
            MigrationError(None, 2, "raised KeyError"),
            {"key": "a", "step": 2, "problem": "raised KeyError", "end": 3},
        ),
        (
            DowngradeLossError(None, 1, ("note",)),
            {"key": "a", "version": 1, "fields": ("note",)},
        ),
    ],
)
def test_a_schema_s_error_gets_its_key_later(
    error: EncodeError | StructureError | MigrationError | DowngradeLossError,
    fields: dict[str, Any],
) -> None:
    there = error.at("a")
    assert type(there) is type(error)
    assert vars(there) == fields
    assert "checkpoint 'a'" in str(there)
    assert error.key is None


def test_a_missing_extra_is_caught_as_an_import_error_and_says_what_to_type() -> None:
    with pytest.raises(ImportError, match=re.escape("pip install 'checkpointkit[etcd]'")):
        raise MissingExtraError("etcd", "grpc")


def test_what_is_not_there_is_a_lookup_error_and_a_wrong_key_a_value_error() -> None:
    with pytest.raises(LookupError):
        raise CheckpointNotFoundError("a")
    with pytest.raises(ValueError, match="is no key"):
        raise InvalidKeyError("'/'", "use letters")
