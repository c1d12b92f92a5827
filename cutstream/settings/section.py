"""What all sections have in common: the base class, lists, and the check of values that contradict each other."""

from __future__ import annotations

import ast
import inspect
import json
import re
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, SecretStr, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError
from pydantic_settings import NoDecode

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_UNDECODABLE = re.compile(r"[\ud800-\udfff]")  # what the environment has in place of bytes that are not UTF-8

NOT_UTF8 = "is not UTF-8: write it so"


def _split(value: object) -> object:
    """Split the text of a variable: separated by commas, or a JSON list if a part has commas or outer spaces."""
    if not isinstance(value, str):  # TOML has lists of its own
        return value
    if value.lstrip().startswith("["):
        try:
            return tuple(json.loads(value))
        except (ValueError, RecursionError):
            pass  # a folder's name may begin so
    return tuple(part.strip() for part in value.split(",") if part.strip())


Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]
Folders = Annotated[tuple[Path, ...], NoDecode, BeforeValidator(_split)]


def require(*rules: tuple[bool, str]) -> None:
    """Raise ValueError with the text of every rule that does not hold, one line each."""
    if broken := [text for holds, text in rules if not holds]:
        raise ValueError("\n".join(broken))


class Section(BaseModel):
    """A frozen group of settings that refuses unknown names."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def descriptions(cls) -> dict[str, str]:
        """Return what is written below each setting, by its name.

        Only who documents the settings reads the source for it: pydantic would do so in each process.
        """
        (tree,) = ast.parse(inspect.getsource(cls)).body
        assert isinstance(tree, ast.ClassDef)
        return {
            field.target.id: inspect.cleandoc(str(text.value.value))
            for field, text in pairwise(tree.body)
            if isinstance(field, ast.AnnAssign)
            and isinstance(field.target, ast.Name)
            and isinstance(text, ast.Expr)
            and isinstance(text.value, ast.Constant)
        }

    @field_validator("*", mode="before")
    @classmethod
    def _no_number(cls, value: object, info: ValidationInfo) -> object:
        """Refuse `true` for a number, which pydantic takes for 1. Only TOML has it: in a variable it is text."""
        if isinstance(value, bool) and cls.model_fields[info.field_name or ""].annotation is not bool:
            raise PydanticCustomError("not_a_number", "true or false is no number")
        return value

    @field_validator("*", mode="after")
    @classmethod
    def _usable_text(cls, value: Any) -> Any:
        """Refuse text that no server takes. A path may have bytes that are not UTF-8, but no control characters."""
        for part in value if isinstance(value, tuple) else (value,):
            text = part.get_secret_value() if isinstance(part, SecretStr) else part
            if isinstance(text, (str, Path)) and _CONTROL.search(str(text)):
                raise ValueError("has a control character, such as a line break: leave it out")
            if isinstance(text, str) and _UNDECODABLE.search(text):
                raise ValueError(NOT_UTF8)
        return value
