"""Links of the site: names in the text lead to their pages, files outside docs/ to a page or to the repository."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

from docutils import nodes
from sphinx.addnodes import download_reference, pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.transforms import SphinxTransform
from sphinx.transforms.post_transforms import SphinxPostTransform

from tools.site.api import public_modules, public_names

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
REPOSITORY = "https://github.com/pyhash/pyhash"
# Files of the root that a page includes.
INCLUDED = {"CHANGELOG.md": "changelog", "CONTRIBUTING.md": "contributing", "SECURITY.md": "security"}


@cache
def _paths_by_identity() -> dict[int, str]:
    return {id(name.value): name.path for name in public_names()}


def _exists(name: str) -> bool:
    try:
        resolve_name(name)
    except (ImportError, AttributeError, ValueError):
        return False
    return True


@cache
def documented_path(name: str) -> str | None:
    """Return the path under which an object of the package, or a module, is documented, by any of its names."""
    if name in public_modules():
        return name
    if not _exists(name):
        return None
    path = _paths_by_identity().get(id(resolve_name(name)))
    if path is None and name.count(".") > 1:  # a method or property of a documented class
        owner, _, member = name.rpartition(".")
        if isinstance(resolve_name(owner), type) and (of_owner := documented_path(owner)):
            return f"{of_owner}.{member}"
    return path


def _resolve(app: Sphinx, env: BuildEnvironment, node: pending_xref, content: nodes.TextElement) -> Any:
    """Resolve a reference to a public object by a name that is not the documented one."""
    if node.get("refdomain") != "py" or not node["reftarget"].startswith("pyhash."):
        return None
    path = documented_path(node["reftarget"])
    if path is None:  # internal, if it exists: shown without a link
        return content if _exists(node["reftarget"]) else None
    if path == node["reftarget"]:
        return None
    return env.domains.python_domain.resolve_xref(env, node["refdoc"], app.builder, "obj", path, node, content)


class LinkNames(SphinxPostTransform):
    """Link names of the public interface in the text: `pyhash.CodeIndex`, `pyhash.SHOH(16)`."""

    default_priority = 5  # before references are resolved

    def run(self, **_: Any) -> None:
        """Wrap each literal that names something which is documented on another page."""
        page = self.env.current_document.docname
        for literal in list(self.document.findall(nodes.literal)):
            found = re.match(r"(pyhash(?:\.\w+)+)(\(.*\))?$", literal.astext())
            if found is None or isinstance(literal.parent, nodes.reference | pending_xref):
                continue
            path = documented_path(found[1])
            if path is not None and page.partition("-")[0] not in (f"api/names/{path}", f"api/modules/{path}"):
                link = pending_xref("", refdomain="py", reftype="obj", reftarget=path, refdoc=page, refwarn=False)
                literal.replace_self(link)
                link += literal


class LinkFiles(SphinxTransform):
    """Lead relative links of Markdown to files outside docs/, and to folders, where the site has something."""

    default_priority = 500

    def apply(self, **_: Any) -> None:
        """Change links to files without a page of their own; what exists nowhere is left to MyST, which warns."""
        page = self.env.current_document.docname
        base = ROOT if page in INCLUDED.values() else (DOCS / page).parent
        for node in list(self.document.findall(lambda each: isinstance(each, pending_xref | download_reference))):
            target = node["reftarget"]
            if node["reftype"] != "myst" or target.startswith("#") or target in self.env.found_docs:
                continue
            name, _, anchor = target.partition("#")
            # MyST takes the suffix from the path of a Markdown file outside docs/.
            file = (base / (f"{name}.md" if node.get("refdomain") == "doc" else name)).resolve()
            if not file.is_relative_to(ROOT) or not file.exists():
                continue
            if file.is_dir() and (file / "index.md").exists():
                file /= "index.md"
            if included := INCLUDED.get(str(file.relative_to(ROOT))):
                file = DOCS / f"{included}.md"
            anchor = node.get("reftargetid") or anchor
            if file.is_relative_to(DOCS) and file.suffix in (".md", ".ipynb"):
                new = pending_xref("", **node.attributes)
                new["refdomain"], new["reftarget"] = "doc", str(file.relative_to(DOCS).with_suffix(""))
                new["reftargetid"] = anchor or None
            elif not file.is_relative_to(DOCS):
                kind = "tree" if file.is_dir() else "blob"
                address = f"{REPOSITORY}/{kind}/main/{file.relative_to(ROOT)}" + (f"#{anchor}" if anchor else "")
                new = nodes.reference("", refuri=address, internal=False)
            else:
                continue
            new += node.children
            node.replace_self(new)


def setup(app: Sphinx) -> dict[str, bool]:
    """Add all of them to the build."""
    app.connect("missing-reference", _resolve)
    app.add_post_transform(LinkNames)
    app.add_transform(LinkFiles)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
