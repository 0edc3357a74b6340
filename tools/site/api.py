"""The pages of the public interface: one for each module, one for each name."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules, resolve_name
from typing import Any

import pyhash

# In no `__all__`, but shown: the base of all methods.
CONTRACT = "pyhash.methods.contract.HashingMethod"

# What has no docstring.
CONSTANTS = {
    "pyhash.comparison.PRESETS": "The experiments of the papers, as a ``Preset`` by name.",
    "pyhash.encoders.ENCODER_NAMES": "The names that ``make_encoder`` takes, and what makes each encoder.",
}


@dataclass(frozen=True)
class PublicName:
    """A name of the public interface and where it is documented."""

    path: str  # as users write it: the shortest
    module: str  # the page of a module that lists it
    value: Any

    @property
    def page(self) -> str:
        """The name of its page: where case does not count, that of the function "ndcg" is not that of "NDCG"."""
        same = [each for each in public_names() if each.path.lower() == self.path.lower()]
        return self.path if len(same) == 1 or inspect.isclass(self.value) else f"{self.path}-function"

    @property
    def summary(self) -> str:
        """The first paragraph of the docstring on one line, or what the name of a constant stands for."""
        doc = (inspect.getdoc(self.value) or "") if callable(self.value) else CONSTANTS.get(self.path, "")
        return " ".join(doc.partition("\n\n")[0].split())


def public_modules() -> list[str]:
    """Return the modules of the public interface, `pyhash` first."""
    modules = [name for name in dir(pyhash) if inspect.ismodule(getattr(pyhash, name))]
    return ["pyhash", *(f"pyhash.{name}" for name in sorted(modules))]


@cache
def public_names() -> tuple[PublicName, ...]:
    """Return every public name once: where several modules have the same object, under its shortest path.

    The page of a submodule lists what is in its `__all__`; that of `pyhash` lists the rest, and that of submodules
    which `pyhash` does not show, such as `pyhash.retriever`.
    """
    found: dict[int, PublicName] = {}
    for each in iter_modules(pyhash.__path__, "pyhash."):
        module = import_module(each.name) if not each.name.startswith("pyhash._") else None
        for name in getattr(module, "__all__", ()):
            value = getattr(module, name)
            path = f"pyhash.{name}" if getattr(pyhash, name, None) is value else f"{each.name}.{name}"
            page = each.name if each.name in public_modules() else "pyhash"
            found.setdefault(id(value), PublicName(path, page, value))
    for name in pyhash.__all__:
        value = getattr(pyhash, name)
        if not inspect.ismodule(value) and name != "__version__":
            found.setdefault(id(value), PublicName(f"pyhash.{name}", "pyhash", value))
    contract = PublicName(CONTRACT, "pyhash.methods", resolve_name(CONTRACT))
    found.setdefault(id(contract.value), contract)
    return tuple(sorted(found.values(), key=lambda each: each.path.rpartition(".")[2].lower()))


def _title(text: str) -> str:
    return f"{text}\n{'=' * len(text)}\n"


def _name_page(name: PublicName) -> str:
    owner, _, last = name.path.rpartition(".")
    if inspect.isclass(name.value):
        # What a class inherits is part of it, but not the methods of bases outside this project.
        outside = sorted({base.__name__ for base in name.value.__mro__ if not base.__module__.startswith("pyhash")})
        directive = "autoclass" if not issubclass(name.value, BaseException) else "autoexception"
        options = ["members", f"inherited-members: {', '.join(outside)}"]
    elif callable(name.value):
        directive, options = "autofunction", []
    else:
        return "\n".join([_title(last), f".. py:data:: {name.path}", "", f"   {name.summary}", ""])
    lines = [
        f".. {directive}:: {last}",
        *(f"   :{option}:" if ":" not in option else f"   :{option}" for option in options),
    ]
    return "\n".join([_title(last), f".. currentmodule:: {owner}", "", *lines, ""])


def _module_page(module: str) -> str:
    names = [name for name in public_names() if name.module == module]
    lines = [_title(module), f".. automodule:: {module}", "   :no-members:", ""]
    if module == "pyhash":
        lines += [".. list-table::", "   :widths: auto", ""]
        for each in public_modules()[1:]:
            summary = (inspect.getdoc(import_module(each)) or "").partition("\n")[0]
            lines += [f"   * - :doc:`{each}`", f"     - {summary}"]
        lines.append("")
    lines += [".. list-table::", "   :widths: auto", "   :class: names", ""]
    for name in names:
        lines += [f"   * - :py:obj:`{name.path}`", f"     - {name.summary}"]
    lines += ["", ".. toctree::", "   :hidden:", ""]
    lines += [f"   {name.path.rpartition('.')[2]} </api/names/{name.page}>" for name in names]
    return "\n".join([*lines, ""])


def pages() -> Iterator[tuple[str, str]]:
    """Yield the path of each page within docs/api, and its text."""
    for module in public_modules():
        yield f"modules/{module}.rst", _module_page(module)
    for name in public_names():
        yield f"names/{name.page}.rst", _name_page(name)


def write_pages(folder: Path) -> None:
    """Write all pages into a folder, and remove those of names that are gone; unchanged files keep their dates."""
    texts = dict(pages())
    for path in (*folder.glob("modules/*.rst"), *folder.glob("names/*.rst")):
        if str(path.relative_to(folder)) not in texts:
            path.unlink()
    for name, text in texts.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() or path.read_text("utf-8") != text:
            path.write_text(text, "utf-8")
