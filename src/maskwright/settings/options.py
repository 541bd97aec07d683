"""The groups of conf/ and their options, read from its folders and comments, for help texts and documents."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

# `- group: option # comment`, or `- file` of the same folder, in a defaults list
_ENTRY = re.compile(r"  - (?:override )?(?P<name>[\w/@.]+)(?:: (?P<option>\w+))?(?:\s+# (?P<comment>.*))?")
_ROOM = 54  # characters for the options, where a description stands beside them
_WIDTH = 116


@dataclass(frozen=True)
class Group:
    """A folder of conf/, whose files are options.

    Attributes:
        name: its path in conf/.
        options: the description of each option, by its name: the default first, the others in order.
        default: the option that is taken where none is named, if any.
        description: what the group chooses.
    """

    name: str
    options: dict[str, str]
    default: str | None
    description: str


def groups(conf: Path, config_name: str) -> list[Group]:
    """The groups in the defaults list of `<config_name>.yaml`, each followed by the groups inside it."""
    return list(_groups(conf, conf / f"{config_name}.yaml", ""))


def listing(conf: Path, config_name: str) -> str:
    """The lines of a help text: a group, its options and what it chooses."""
    found = groups(conf, config_name)
    names = {group.name: " " * (4 if "/" in group.name else 2) + group.name for group in found}
    margin = max(map(len, names.values())) + 1
    lines = []
    for group in found:
        line = names[group.name].ljust(margin) + ", ".join(group.options)
        description = group.description + ("" if group.default else "; none by default")
        column = min(margin + _ROOM, _WIDTH - len(description))
        if len(line) + 2 > column:  # the description gets a line of its own
            lines.append(line)
            line = ""
        lines.append(f"{line:{column}}{description}")
    return "\n".join(lines)


def _groups(conf: Path, path: Path, parent: str) -> Iterator[Group]:
    for name, (default, description) in _defaults(path).items():
        folder = conf / parent / name
        if "@" in name or name.startswith(("/", "hydra")) or not folder.is_dir():
            continue
        names = sorted(p.stem for p in folder.glob("[!_]*.yaml"))
        names.sort(key=lambda option: option != default)
        options = {option: _description(folder / f"{option}.yaml") for option in names}
        yield Group(f"{parent}{name}", options, default, description)
        if default is not None:
            yield from _groups(conf, folder / f"{default}.yaml", f"{parent}{name}/")


def _defaults(path: Path) -> dict[str, tuple[str | None, str]]:
    """Of each group in the defaults list of a file, and of the files that it starts from, option and comment."""
    found: dict[str, tuple[str | None, str]] = {}
    block = re.search(r"^defaults:\n((?:  .*\n)*)", path.read_text(), re.MULTILINE)
    for line in block[1].splitlines() if block else ():
        match = _ENTRY.fullmatch(line)
        if match is None:
            continue
        name, option, comment = match["name"], match["option"], match["comment"]
        if option is not None:
            before = found.get(name, (None, ""))[1]
            found[name] = (None if option == "null" else option, comment or before)
        elif name != "_self_":
            found |= _defaults(path.with_name(f"{name.partition('@')[0]}.yaml"))
    return found


def _description(path: Path) -> str:
    """The first line of the comment at the head of a file."""
    lines = (line.removeprefix("# ") for line in path.read_text().splitlines())
    return next(line for line in lines if not line.startswith("@package"))
