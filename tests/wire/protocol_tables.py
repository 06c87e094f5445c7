"""The tables of docs/protocol.md as the structs would write them: name, type and default of each field."""

from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import NODEFAULT, UNSET, inspect


def fields_of(struct: type[msgspec.Struct]) -> list[tuple[str, str, str]]:
    """`(field, type, default)`, in the struct's order."""
    info = inspect.type_info(struct)
    assert isinstance(info, inspect.StructType)
    return [(field.encode_name, type_text(field.type), default_text(field)) for field in info.fields]


def default_text(field: inspect.Field) -> str:
    if field.required:
        return "–"
    value = field.default
    if value is NODEFAULT and field.default_factory is not NODEFAULT:
        factory: Callable[[], Any] = field.default_factory
        value = factory()
    if value is NODEFAULT or value is UNSET:
        return "absent"
    if isinstance(value, msgspec.Struct):
        return "all defaults"
    return f"`{msgspec.json.encode(value).decode()}`"


def type_text(kind: inspect.Type) -> str:
    match kind:
        case inspect.IntType() | inspect.FloatType():
            return ("int" if isinstance(kind, inspect.IntType) else "float") + bounds(kind.ge, kind.le)
        case inspect.StrType():
            return "str" + bounds(kind.min_length, kind.max_length)
        case inspect.BoolType():
            return "bool"
        case inspect.NoneType():
            return "null"
        case inspect.AnyType() | inspect.CustomType():
            return "any"
        case inspect.EnumType():
            return kind.cls.__name__
        case inspect.StructType():
            return kind.cls.__name__
        case inspect.VarTupleType():
            return f"[{type_text(kind.item_type)}]" + bounds(kind.min_length, kind.max_length)
        case inspect.DictType():
            return f"{{{type_text(kind.key_type)}: {type_text(kind.value_type)}}}"
        case inspect.UnionType():
            members = [type_text(one) for one in kind.types if not isinstance(one, inspect.NoneType)]
            if len(members) > 3:
                members = ["Command"]
            if any(isinstance(one, inspect.NoneType) for one in kind.types):
                members.append("null")
            return " or ".join(members)
        case _:
            raise AssertionError(f"the document has no words for {kind}")


def bounds(least: float | None, most: float | None) -> str:
    match least, most:
        case None, None:
            return ""
        case None, _:
            return f" ≤{most}"
        case _, None:
            return f" ≥{least}"
        case _:
            return f" {least}…{most}"
