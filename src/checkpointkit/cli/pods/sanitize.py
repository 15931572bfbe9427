"""`checkpointkit pods sanitize`: what would be kept of a pod, without a cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

from checkpointkit.cli.objects import read_objects
from checkpointkit.cli.outcome import BAD, FINE, USAGE, Outcome, Refused
from checkpointkit.cli.pods.arguments import flags_of
from checkpointkit.cli.text import INDENT, json_text, plural, printable
from checkpointkit.pods.assets import Asset, Roots, read_asset
from checkpointkit.pods.model import CHECKPOINT, CHECKPOINT_OF
from checkpointkit.pods.references import needed
from checkpointkit.pods.sanitize import Sanitized
from checkpointkit.pods.sanitize import sanitize as make_copy

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Mapping, Sequence

    from checkpointkit.pods.assets import AssetSet
    from checkpointkit.pods.references import Kind, ObjectName
    from checkpointkit.pods.rules.decoding import Refusal

_KINDS: Final = ("ConfigMap", "Secret")


def sanitize(arguments: argparse.Namespace, environment: Mapping[str, str]) -> Outcome:
    """Return the static manifest of a pod, or why there is none.

    Args:
        arguments: What was typed.
        environment: The environment; `NODE_NAME` of it counts where the pod names no node.

    Raises:
        Refused: A file cannot be read, or is none of what was asked for.
        MissingExtraError: It is YAML, and nothing here reads that.
    """
    pod = _pod(arguments.file)
    metadata = _object(pod, "metadata")
    fetched: dict[ObjectName, Asset | None] = {}
    for path in arguments.objects:
        fetched.update((asset.name, asset) for asset in _assets(path, metadata.get("namespace")))
    flags = flags_of(arguments)
    roots = Roots(flags.checkpoint_secrets, flags.checkpoint_configmaps)
    node = flags.node or _object(pod, "spec").get("nodeName") or environment.get("NODE_NAME", "")
    done = make_copy(pod, fetched, node=str(node), roots=roots, keep_labels=flags.keep_labels)
    if isinstance(done, Sanitized):
        return _sanitized(done, (*_unmarked(metadata), *done.notes), roots)
    return _refused(done.refusals, _missing(pod, fetched))


def _pod(path: str) -> dict[str, Any]:
    documents = read_objects(path)
    if len(documents) != 1:
        raise Refused(
            f"{path} has {plural(len(documents), 'document')}",
            "give a file with one pod, as kubectl get pod NAME -o json prints it",
            USAGE,
            "NoPod",
        )
    return documents[0]


def _object(parent: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return an object of a pod that nobody has looked at yet; the sanitizer does."""
    value = parent.get(name)
    return value if isinstance(value, dict) else {}


def _assets(path: str, namespace: Any) -> Iterator[Asset]:
    """Yield the secrets and config maps of a file that a pod of that namespace may use."""
    for kind, decoded in _listed(read_objects(path)):
        theirs = _object(decoded, "metadata").get("namespace")
        if kind not in _KINDS or (theirs and namespace and theirs != namespace):
            continue
        try:
            yield read_asset(decoded, cast("Kind", kind))
        except ValueError as error:
            raise Refused(
                f"{path} has a {kind} that is none: {error}",
                "give it as kubectl get prints it",
                USAGE,
                "NoObject",
            ) from error


def _listed(documents: Sequence[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each object with its kind; those of a list of one kind do not say it."""
    for decoded in documents:
        kind = str(decoded.get("kind", ""))
        items = decoded.get("items")
        if kind.endswith("List") and isinstance(items, list):
            named = kind.removesuffix("List")
            for item in items:
                if isinstance(item, dict):
                    yield str(item.get("kind") or named), item
        else:
            yield kind, decoded


def _missing(pod: Mapping[str, Any], fetched: Mapping[ObjectName, Asset | None]) -> list[str]:
    try:
        return [str(name) for name in needed(pod) if name not in fetched]
    except ValueError:  # it is refused for that already
        return []


def _unmarked(metadata: Mapping[str, Any]) -> tuple[str, ...]:
    annotations = _object(metadata, "annotations")
    if annotations.get(CHECKPOINT) == "true" or CHECKPOINT_OF in annotations:
        return ()
    return (f'metadata.annotations: without {CHECKPOINT}: "true" nothing is kept of it',)


# ----------------------------------------------------------------------------- what is printed


def _sanitized(done: Sanitized, notes: Sequence[str], roots: Roots) -> Outcome:
    document = {
        "ok": True,
        "manifest": done.manifest,
        "assets": [_document(files, roots) for files in done.assets],
        "notes": list(notes),
    }
    lines = [line for files in done.assets for line in _lines(files, roots)]
    lines += [f"note: {note}" for note in notes]
    note = "".join(f"{printable(line)}\n" for line in lines)
    return Outcome(FINE, json_text(done.manifest), document, note)


def _refused(refusals: Sequence[Refusal], missing: Sequence[str]) -> Outcome:
    document = {
        "ok": False,
        "refusals": [{"path": each.path, "reason": each.reason} for each in refusals],
        "missing": list(missing),
    }
    lines = [f"{printable(each.text())}\n" for each in refusals]
    if missing:
        names = printable(", ".join(missing))
        lines.append(f"{INDENT}next: give what it needs with --objects FILE: {names}\n")
    note = "".join(["checkpointkit: this pod cannot run without the API server\n", *lines])
    return Outcome(BAD, "", document, note)


def _lines(files: AssetSet, roots: Roots) -> Iterator[str]:
    yield f"directory {roots.place(files)}, mode {files.mode:04o}, group {files.gid}"
    for file in files.files:
        yield f"{INDENT}{file.path}, mode {file.mode:04o}, {plural(len(file.data), 'byte')}"


def _document(files: AssetSet, roots: Roots) -> dict[str, Any]:
    return {
        "path": roots.place(files),
        "mode": f"{files.mode:04o}",
        "gid": files.gid,
        "files": [
            {"path": file.path, "mode": f"{file.mode:04o}", "size": len(file.data)}
            for file in files.files
        ],
    }
