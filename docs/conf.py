"""Sphinx configuration: Markdown pages, docstrings in Google style, the theme furo.

Build it with `make docs`: nitpicky, and a warning is an error. Nothing is fetched from the network.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from docutils import nodes
from sphinx import addnodes
from sphinx.util.nodes import make_refnode

if TYPE_CHECKING:
    from sphinx.application import Sphinx
    from sphinx.environment import BuildEnvironment

project = "checkpointkit"
author = "the checkpointkit authors"
copyright = author  # noqa: A001 - Sphinx wants this name
with (Path(__file__).parent.parent / "pyproject.toml").open("rb") as file:
    release = version = tomllib.load(file)["project"]["version"]

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]

html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["output.css"]
html_title = f"checkpointkit {release}"
html_copy_source = False
html_show_sphinx = False
html_show_copyright = False

myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3

# Docstrings say `name` as Markdown does: it becomes code, and `link_code` makes links of it.
default_role = "code"
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
python_maximum_signature_line_length = 90
python_use_unqualified_type_names = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True

nitpicky = True
# The standard library: its inventory would have to be fetched when the pages are built.
nitpick_ignore_regex = [
    ("py:.*", r"(collections\.abc\.)?(Callable|Iterable|Mapping|Sequence)"),
    ("py:.*", r"(contextlib\.)?AbstractContextManager"),
    ("py:.*", r"(datetime\.)?(datetime|timedelta)"),
    ("py:.*", r"(os\.)?(DirEntry|PathLike|stat_result)"),
    ("py:.*", r"(types\.)?(MappingProxyType|TracebackType)"),
    ("py:.*", r"(enum\.)?Enum"),
    ("py:.*", r"(collections\.)?Counter"),
    ("py:.*", r"(pathlib\.)?Path"),
    ("py:.*", r"(typing\.)?(Hashable|Protocol)"),
    # Hypothesis' own.
    ("py:.*", r"(hypothesis\.)?(settings|SearchStrategy)"),
    # Type variables.
    ("py:.*", r"(checkpointkit\.[\w.]+\.)?[DST]"),
    # What the crash states are made with; a workload has no use for it.
    ("py:.*", r"(checkpointkit\.testing\.crash\.\w+\.)?(Log|LoggedStore|New|Old)"),
    # For tests of the file store itself.
    ("py:.*", r"(checkpointkit\.stores\.files\.system\.)?SystemCalls"),
    # Parts of the pod checkpointer that its users do not make, and unions of what they get.
    ("py:.*", r"(checkpointkit\.pods\.[\w.]+\.)?(Fetched|FileCalls|Got|Http|Sighting)"),
    ("py:.*", r"(prometheus_client\.)?CollectorRegistry"),
    ("py:.*", r"(threading\.)?Event"),
    # The same of the archives and of the kubelet's files.
    ("py:.*", r"_(Bytes|Count|Inherit|Time)"),
    ("py:.*", r"(checkpointkit\.archives\.[\w.]+\.)?(Changes|Pace|Reason|Stopping)"),
    ("py:.*", r"checkpointkit\.kubernetes\.http\.Http"),
    ("py:.*", r"(checkpointkit\.kubelet\.[\w.]+\.)?(ContainerMap|GoType|KubeletCalls)"),
    # Plain data; envelope.md has its vocabulary.
    ("py:.*", r"Shape"),
]


def adapt_docstring(_app: Sphinx, what: str, _name: str, *rest: Any) -> None:
    """Turn the fenced blocks of a docstring into literal blocks, which autodoc understands."""
    lines: list[str] = rest[-1]
    if what in {"attribute", "property"}:
        # An empty comment: what stands before a colon in the first line, napoleon takes for a type.
        lines[:0] = ["..", ""]
    inside = False
    for number, line in enumerate(lines):
        if line.startswith("```"):
            inside = not inside
            lines[number] = "::" if inside else ""
            if inside:
                lines[number] += "\n"
        elif inside:
            lines[number] = "   " + line
    lines[:] = "\n".join(lines).split("\n")


ROOMS = {
    "api/archives": {
        "Container": "checkpointkit.archives.model.Container",
        "Plan": "checkpointkit.archives.plan.Plan",
        "Reading": "checkpointkit.archives.identity.Reading",
        "State": "checkpointkit.archives.model.State",
    },
    "api/kubelet": {
        "Reading": "checkpointkit.kubelet.verdicts.Reading",
        "Verdict": "checkpointkit.kubelet.verdicts.Verdict",
    },
    "api/pods": {
        "Container": "checkpointkit.pods.runtime.Container",
        "Plan": "checkpointkit.pods.plan.Plan",
        "State": "checkpointkit.pods.machine.State",
    },
    "api/testing": {"Verdict": "checkpointkit.testing.linearizability.Verdict"},
}
"""Classes of one name in several rooms: which of them a page means."""


def name_in_its_room(app: Sphinx, document: nodes.document) -> None:
    """Have a name that several rooms have mean that of the page's own."""
    names = ROOMS.get(app.env.docname, {})
    for node in document.findall(addnodes.pending_xref):
        full = names.get(node.get("reftarget", ""))
        if full is not None:
            node["reftarget"] = full


def public_name(app: Sphinx, env: BuildEnvironment, node: Any, content: Any) -> Any:
    """Find a class by the name that users import, wherever it is defined."""
    name = node.get("reftarget", "").rpartition(".")[2]
    if node.get("refdomain") != "py":
        return None
    for target in (
        f"checkpointkit.{name}",
        f"checkpointkit.stores.base.{name}",
        f"checkpointkit.testing.{name}",
        f"checkpointkit.testing.faults.{name}",
    ):
        found = env.domains["py"].objects.get(target)
        if found:
            return make_refnode(
                app.builder, node["refdoc"], found.docname, found.node_id, [content], target
            )
    return None


def link_code(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Make a link of code that names something public: `FileStore`, `CheckpointManager.get`."""
    objects = app.env.domains["py"].objects
    for literal in list(doctree.findall(nodes.literal)):
        if not app.builder.name.endswith("html") or _has_a_link(literal):
            continue
        name = re.sub(r"\(.*", "", literal.astext())
        around = _described(literal)
        for target in (f"{around}.{name}", f"checkpointkit.{name}", name):
            found = objects.get(target)
            if found and target != around and found.objtype != "module":
                to = found.docname, found.node_id
                link = make_refnode(app.builder, docname, *to, literal.deepcopy(), target)
                literal.replace_self(link)
                break
    for field in doctree.findall(nodes.field_name):
        if field.astext() == "Variables":  # napoleon's word for what Python calls attributes
            field.replace(field.children[0], nodes.Text("Attributes"))


def _has_a_link(node: nodes.Node) -> bool:
    while node is not None:
        if isinstance(node, (nodes.reference, nodes.title, addnodes.desc_signature)):
            return True
        node = node.parent
    return False


def _described(node: nodes.Node) -> str:
    """Return the class or function whose description this is in; of a method, the class."""
    while node is not None:
        if isinstance(node, addnodes.desc):
            signature = node.next_node(addnodes.desc_signature)
            if signature is not None and signature.get("fullname"):
                owner = signature.get("class") or signature["fullname"]
                return f"{signature['module']}.{owner}"
        node = node.parent
    return ""


def setup(app: Sphinx) -> None:
    """Connect what is above."""
    app.connect("autodoc-process-docstring", adapt_docstring, priority=400)
    app.connect("doctree-read", name_in_its_room)
    app.connect("missing-reference", public_name)
    app.connect("doctree-resolved", link_code)
