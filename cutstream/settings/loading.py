"""Load settings, explain what is wrong with them, and pass them on to other processes."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails
from pydantic_settings import SettingsError

from cutstream.constraints import Node, describe, is_secret, nearest
from cutstream.errors import ConfigurationError
from cutstream.redaction import redact
from cutstream.settings.naming import CONFIG_FILE, PREFIX, RENAMED, RENAMED_VALUES, anchor, config_file, variable
from cutstream.settings.section import NOT_UTF8, Section
from cutstream.settings.tree import Settings


def load(**sections: Mapping[str, object]) -> Settings:
    """Load settings from `sections` (such as `worker={"window": 4}`), the environment, the TOML file and the defaults.

    Sources are listed in order of precedence. Raises ConfigurationError with one line per problem; a secret is never
    quoted.
    """
    known = _known()
    problems = [_unknown(name) for name in _names_in_environment() if name not in known]
    file = config_file()
    if file and not Path(file).is_file():
        problems.append(f"{CONFIG_FILE}={file}: no such file (docs/settings.md)")
    try:
        settings = Settings(**dict(sections)).with_moved_ports()  # type: ignore[arg-type]  # pydantic validates them
    except ValidationError as exc:
        problems += [line for error in exc.errors() for line in _explain(error)]
    except SettingsError:
        pass  # a whole section in one variable, which `_unknown` has reported already
    except (OSError, ValueError) as exc:
        problems.append(f"{CONFIG_FILE}={file}: not readable as TOML: {exc} (docs/settings.md)")
    if problems:
        raise ConfigurationError("\n".join(dict.fromkeys(problems)))
    return settings


def given(names: Collection[str]) -> dict[str, str]:
    """Return those of these variables that this process was given, and the one that names its file of settings."""
    return {name: value for name, value in os.environ.items() if name.upper() in names or name == CONFIG_FILE}


def redacted(settings: Settings) -> dict[str, Any]:
    """Return plain values for printing, with secrets as asterisks and without what addresses must not show."""
    values: dict[str, Any] = _redacted(settings.model_dump(mode="json"))
    return values


def as_environment(settings: Settings) -> dict[str, str]:
    """Return the variables from which `load` makes the same settings in another process.

    They include secrets, and leave out defaults, but for those that a variable of this process contradicts: the other
    process may inherit it.
    """
    here = set(_names_in_environment())
    return {
        variable(section, name): _as_text(value)
        for section, part in settings
        for name, value in part
        if value != type(part).model_fields[name].default or variable(section, name) in here
    }


def fields() -> Iterator[tuple[str, str, Node]]:
    """Yield section, name and JSON Schema of every setting, in the order of the sections.

    The schemas leave out null, which stands for unset.
    """
    definitions = Settings.model_json_schema()["$defs"]
    for section, field in Settings.model_fields.items():
        kind = _section(field)
        texts = kind.descriptions()
        for name, node in definitions[kind.__name__]["properties"].items():
            members = [part for part in node.get("anyOf", ()) if part != {"type": "null"}]
            described = {**node, "description": texts[name]}
            yield section, name, {**described, "anyOf": members} if members else described


@cache
def variables() -> Mapping[str, tuple[str, str, Node]]:
    """Return section, name and JSON Schema of every setting, by its environment variable."""
    return {variable(section, name): (section, name, node) for section, name, node in fields()}


def _redacted(value: Any) -> Any:
    """Redact every text: a setting that takes no password may have been given one in an address all the same."""
    if isinstance(value, dict):
        return {name: _redacted(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_redacted(part) for part in value]
    return redact(value) if isinstance(value, str) else value


def _as_text(value: object) -> str:
    if value is None:  # an empty variable counts as none
        return ""
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    return json.dumps([str(part) for part in value]) if isinstance(value, tuple) else str(value)


def _known() -> frozenset[str]:
    """Return the variables of all settings. Their schemas, of which `variables` tells, take long to make."""
    return frozenset(
        variable(section, name)
        for section, field in Settings.model_fields.items()
        for name in _section(field).model_fields
    )


def _section(field: FieldInfo) -> type[Section]:
    kind = field.annotation
    assert isinstance(kind, type)
    assert issubclass(kind, Section)
    return kind


def _names_in_environment() -> list[str]:
    names = (name.upper() for name in os.environ)
    return [name for name in names if name.startswith(PREFIX) and name != CONFIG_FILE]


def _unknown(name: str) -> str:
    for (section, old), new in RENAMED.items():
        if name == variable(section, old):
            return f"{name} is now called {variable(section, new)} ({_page(section, new)})"
    return f"{name}: no such setting{nearest(name, variables())} (docs/settings.md)"


def _explain(error: ErrorDetails) -> list[str]:
    section, name, *_ = *(str(part) for part in error["loc"]), "", ""
    if error["type"] == "extra_forbidden":
        return [_unknown(variable(section, name) if name else PREFIX + section.upper())]
    if not name:
        contradictions = str(error.get("ctx", {}).get("error", error["msg"]))
        where = f"docs/settings.md#{section}" if section else "docs/settings.md"
        return [f"{line} ({where})" for line in contradictions.splitlines()]
    words = {"value_error": str(error.get("ctx", {}).get("error")), "string_unicode": NOT_UTF8}
    return [_wrong_value(section, name, error["input"], words.get(error["type"], ""))]


def _wrong_value(section: str, name: str, value: object, problem: str) -> str:
    """Explain a value that is refused; `problem` is empty where it does not have the form of the setting."""
    node = variables()[variable(section, name)][2]
    text = "true" if value is True else "false" if value is False else redact(str(value))
    shown = variable(section, name) if is_secret(node) else f"{variable(section, name)}={_printable(text[:100])}"
    if new := RENAMED_VALUES.get((section, name), {}).get(text.strip().lower()):
        problem = f"this value is now called {new}"
    return f"{shown}: {problem or f'expected {describe(node, {})}'} ({_page(section, name)})"


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def _page(section: str, name: str) -> str:
    return f"docs/settings.md#{anchor(section, name)}"
