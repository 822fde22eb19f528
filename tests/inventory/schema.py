"""What the definition of GPUNode refuses of an object, as an API server would: types, bounds, words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import yaml

from deploy.local.manifests import DEPLOY

_BITS = {"int32": 31, "int64": 63}


@cache
def status_schema() -> Mapping[str, Any]:
    found = yaml.safe_load((DEPLOY / "crds" / "gpunodes.yaml").read_text())
    schema: Mapping[str, Any] = found["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    status: Mapping[str, Any] = schema["properties"]["status"]
    return status


def problems(value: Any, schema: Mapping[str, Any], where: str) -> Iterator[str]:
    """Empty for what would be stored whole."""
    if value is None:
        return
    kind = schema.get("type", "object")
    if isinstance(value, bool):
        yield from () if kind == "boolean" else (f"{where}: {value!r} is no {kind}",)
    elif kind == "string" and isinstance(value, str):
        yield from _of_string(value, schema, where)
    elif kind == "integer" and isinstance(value, int):
        yield from _of_integer(value, schema, where)
    elif kind == "array" and isinstance(value, (list, tuple)):
        yield from _of_array(list(value), schema, where)
    elif kind == "object" and isinstance(value, Mapping):
        yield from _of_object(value, schema, where)
    else:
        yield f"{where}: {value!r} is no {kind}"


def _of_string(value: str, schema: Mapping[str, Any], where: str) -> Iterator[str]:
    if not schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", len(value)):
        yield f"{where}: a string of {len(value)}"
    if "enum" in schema and value not in schema["enum"]:
        yield f"{where}: {value!r} is none of {schema['enum']}"


def _of_integer(value: int, schema: Mapping[str, Any], where: str) -> Iterator[str]:
    most = 2 ** _BITS[schema.get("format", "int64")] - 1
    if not schema.get("minimum", -most) <= value <= min(most, schema.get("maximum", most)):
        yield f"{where}: {value} is out of bounds"


def _of_array(value: list[Any], schema: Mapping[str, Any], where: str) -> Iterator[str]:
    if len(value) > schema.get("maxItems", len(value)):
        yield f"{where}: {len(value)} items"
    keys = schema.get("x-kubernetes-list-map-keys", ())
    names = [tuple(item.get(key) for key in keys) for item in value] if keys else []
    if len(set(names)) != len(names):
        yield f"{where}: the same key twice"
    for number, item in enumerate(value):
        yield from problems(item, schema["items"], f"{where}[{number}]")


def _of_object(value: Mapping[str, Any], schema: Mapping[str, Any], where: str) -> Iterator[str]:
    known = schema.get("properties", {})
    for name in schema.get("required", ()):
        if name not in value:
            yield f"{where}.{name} is missing"
    for name, item in value.items():
        if name not in known:
            yield f"{where}.{name} would be dropped"
        else:
            yield from problems(item, known[name], f"{where}.{name}")
