"""Plug-ins: model families and tokenizers that other installed packages bring, found by their entry points.

A package names them in its metadata, in the groups `musicgen.families` and `musicgen.tokenizers`
(https://packaging.python.org/en/latest/specifications/entry-points/):

    [project.entry-points."musicgen.families"]
    echo = "musicgen_echo:Echo"

Listing names imports nothing. A plug-in is imported when its name is asked for: by an option, in Python, or by a run
folder or corpus. Names are looked up among the installed entry points and never imported as modules, so a file can ask
for no more than what its reader has installed. A plug-in can't take a name that musicgen has.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from musicgen.errors import UsageError

__all__ = [
    "BUILT_IN",
    "FAMILIES",
    "KINDS",
    "TOKENIZERS",
    "Plugin",
    "installed",
    "lacking",
    "load_plugin",
    "problems",
    "providers",
]

FAMILIES, TOKENIZERS = "musicgen.families", "musicgen.tokenizers"
KINDS = {FAMILIES: "model family", TOKENIZERS: "tokenizer"}
# Names that musicgen has itself: copies of models/presets.py and tokenizers/, which a test compares.
BUILT_IN = {
    FAMILIES: ("window", "cnn", "rnn", "gru", "lstm", "cnn-lstm", "transformer"),
    TOKENIZERS: ("notes", "parts", "remi", "performance", "frames", "abc"),
}
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")  # of plug-ins and packages


@dataclass(frozen=True)
class Plugin:
    """An installed plug-in: its name, the group of its kind, and the package that brings it.

    >>> Plugin("echo", "musicgen.families", "musicgen-echo", "0.1", None).title
    "model family 'echo' of the package musicgen-echo 0.1"
    """

    name: str
    group: str
    package: str
    version: str
    entry: Any  # importlib.metadata.EntryPoint

    @property
    def title(self) -> str:
        """In words, such as "model family 'echo' of the package musicgen-echo 0.1"."""
        return f"{KINDS[self.group]} {self.name!r} of the package {self.package} {self.version}"


def installed(group: str) -> dict[str, Plugin]:
    """The plug-ins of a group by name, in the order of names; without those that take a name of musicgen's own.

    Of several packages with one name the first on the path counts, as for modules.

    >>> installed("musicgen.families").keys() & {"lstm"}
    set()
    """
    return _found(group)[0]


def problems(group: str) -> list[str]:
    """A line for each entry of a group that is left out: it can't be read, or takes a name that musicgen has.

    >>> isinstance(problems("musicgen.tokenizers"), list)
    True
    """
    return _found(group)[1]


def _found(group: str) -> tuple[dict[str, Plugin], list[str]]:
    """(the plug-ins of a group, a line for each that is left out)."""
    from importlib.metadata import distributions  # half of this module's time to import

    found: dict[str, Plugin] = {}
    left_out: list[str] = []
    for dist in distributions():
        try:
            entries = dist.entry_points.select(group=group)
            package, version = (dist.metadata["Name"], dist.version) if entries else ("", "")
        except Exception as error:  # whatever a damaged package raises, the others are still there
            left_out.append(f"the metadata of an installed package can't be read ({type(error).__name__})")
            continue
        for entry in entries:
            plugin = Plugin(entry.name, group, str(package), str(version), entry)
            if entry.name in BUILT_IN[group] or not NAME.fullmatch(entry.name):
                why = "musicgen has one of that name" if entry.name in BUILT_IN[group] else "that is no name"
                left_out.append(f"the {plugin.title} is left out: {why}")
            else:
                found.setdefault(entry.name, plugin)
    return dict(sorted(found.items())), list(dict.fromkeys(left_out))


def load_plugin(group: str, name: str, base: type) -> Any:
    """The class of a plug-in, a subclass of `base`; None if there is none of this name.

    Raises UsageError, of one line, for a plug-in that can't be imported or isn't what its group promises.

    >>> load_plugin("musicgen.families", "no-such-family", object) is None
    True
    """
    plugin = installed(group).get(name)
    return None if plugin is None else _loaded(plugin, base)


@cache
def _loaded(plugin: Plugin, base: type) -> Any:
    hint = f"update or remove {plugin.package}"
    try:
        found = plugin.entry.load()
    except Exception as error:  # a plug-in's module may raise anything as it is imported
        reason = f"{type(error).__name__}: {str(error).splitlines()[0][:200] if str(error) else 'without a message'}"
        raise UsageError(f"the {plugin.title} can't be imported ({reason})", hint=hint) from None
    if not (isinstance(found, type) and issubclass(found, base)):
        raise UsageError(f"the {plugin.title} is no subclass of {base.__module__}.{base.__name__}", hint=hint)
    if missing := sorted(getattr(found, "__abstractmethods__", ())):
        raise UsageError(f"the {plugin.title} has no {missing[0]!r}", hint=hint)
    return found


# ---- what a run says of the plug-ins that it needs -----------------------------------------------------------


def providers(names: Mapping[str, str]) -> list[dict[str, str]]:
    """What a card says of the plug-ins among `names` (by group): kind, name, package and version of each.

    >>> providers({FAMILIES: "lstm", TOKENIZERS: "notes"})
    []
    """
    used = [
        plugin
        for group, name in names.items()
        if name not in BUILT_IN[group] and (plugin := installed(group).get(name)) is not None
    ]
    return [{"group": each.group, "name": each.name, "package": each.package, "version": each.version} for each in used]


def lacking(listed: object, group: str, name: str) -> str | None:
    """The hint for a name that isn't installed: which package brought it, by what a card lists; None if it's unknown.

    The card may be a stranger's, so it is told as what the card says, and only what is a package's name.

    >>> lacking([{"group": FAMILIES, "name": "echo", "package": "musicgen-echo", "version": "1"}], FAMILIES, "echo")
    'install the package that brings it, if you trust it: musicgen-echo, by what its card says'
    """
    for entry in listed if isinstance(listed, list) else ():
        if isinstance(entry, Mapping) and (entry.get("group"), entry.get("name")) == (group, name):
            package = entry.get("package")
            if isinstance(package, str) and NAME.fullmatch(package):
                return f"install the package that brings it, if you trust it: {package}, by what its card says"
    return None
