"""Typed state on disk that survives crashes, power cuts, upgrades and downgrades.

The way of the data, down on `create`, up on `get`:

```
object      CheckpointManager[T]          manager.py
  |  ^        Schema: dump, load          schema.py, structuring, fingerprint.py
  |  ^        migrations, downgrades      chain.py, migrations.py
  v  |
payload     plain dict                    migrated on the way up
  |  ^        seal, open                  envelope.py, records.py
  v  |
envelope    bytes: digest, header, payload
  |  ^        write, read                 stores/base.py (the contract)
  v  |
store       FileStore, MemoryStore        stores/files, stores/memory.py
```
"""

from checkpointkit.envelope import Payload
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
from checkpointkit.manager import CheckpointManager
from checkpointkit.migrating import MigrationReport
from checkpointkit.records import Checkpoint, CheckpointInfo, Problem, Recovery, Report
from checkpointkit.schema import (
    Downgrade,
    Hook,
    Json,
    Migration,
    MissingMigrationError,
    Schema,
    Tagged,
    tagged,
)
from checkpointkit.stores.base import ABSENT, Absent, Store
from checkpointkit.stores.files.store import FileStore
from checkpointkit.stores.memory import MemoryStore

__all__ = [
    "ABSENT",
    "Absent",
    "BatchError",
    "Checkpoint",
    "CheckpointError",
    "CheckpointInfo",
    "CheckpointManager",
    "CheckpointNotFoundError",
    "CheckpointTooLargeError",
    "ConflictError",
    "CorruptCheckpointError",
    "Downgrade",
    "DowngradeLossError",
    "EncodeError",
    "EnvelopeVersionError",
    "FileStore",
    "Hook",
    "InvalidKeyError",
    "Json",
    "LockFileError",
    "LockTimeoutError",
    "MemoryStore",
    "Migration",
    "MigrationError",
    "MigrationReport",
    "MissingExtraError",
    "MissingMigrationError",
    "OutcomeUnknownError",
    "Payload",
    "Problem",
    "ReadOnlyError",
    "Recovery",
    "Report",
    "Schema",
    "SchemaDriftError",
    "Store",
    "StoreError",
    "StoreUnavailableError",
    "StructureError",
    "Tagged",
    "VersionError",
    "VersionTooNewError",
    "VersionTooOldError",
    "WrongKindError",
    "tagged",
]
