"""CEL rules of the generated schema, evaluated as the API server does.

A rule that mentions ``oldSelf`` is a transition rule: it is checked on update only, where the old value can
be found again (through fields, maps and lists with keys; not through atomic lists and sets).
A rule that fails to evaluate refuses the object.

The Rust implementation counts ``size()`` of a string in bytes, the API server in characters: rules apply it
only to strings that a pattern keeps to ASCII.
"""

from collections.abc import Iterator
from functools import cache
from typing import Any, Final

import cel
from cel.stdlib import STDLIB_FUNCTIONS

from meshtwin_operator.resources.causes import Cause, Fault
from meshtwin_operator.resources.schema import Schema
from meshtwin_operator.resources.validation import type_name

__all__ = ["ABSENT", "evaluate_rules"]

ABSENT: Final = object()  # no old value: a create, or one that cannot be found again


def evaluate_rules(value: Any, old: Any, schema: Schema, path: str) -> Iterator[Cause]:
    """Causes of all rules at and below ``value`` that do not hold; ``old`` may be `ABSENT`."""
    for rule in schema.get("x-kubernetes-validations", ()):
        if (cause := _check(rule, value, old, path)) is not None:
            yield cause
    if isinstance(value, dict):
        properties, values = schema.get("properties", {}), schema.get("additionalProperties")
        for name, child in value.items():
            child_schema = properties.get(name, values)
            if child_schema is not None:
                old_child = old.get(name, ABSENT) if isinstance(old, dict) else ABSENT
                yield from evaluate_rules(child, old_child, child_schema, f"{path}.{name}" if path else name)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from evaluate_rules(item, _old_item(item, old, schema), schema["items"], f"{path}[{index}]")


def _check(rule: dict[str, str], value: Any, old: Any, path: str) -> Cause | None:
    program = _compiled(rule["rule"])
    variables = {"self": value}
    if "oldSelf" in program.variables():
        if old is ABSENT:
            return None
        variables["oldSelf"] = old
    message = rule["message"]
    try:
        if program.execute(_context(program, variables)) is True:
            return None
    except (
        KeyError,
        TypeError,
        ValueError,
        RuntimeError,
    ) as error:  # what the library raises, by kind of fault
        message = f"{error} evaluating rule: {message}"
    fault = Fault(rule.get("reason", Fault.INVALID.value))
    start = "Required value" if fault is Fault.REQUIRED else "Forbidden"
    if fault is Fault.INVALID:
        start = f'Invalid value: "{type_name(value)}"'
    return Cause(path=path + rule.get("fieldPath", ""), message=f"{start}: {message}", fault=fault)


def _old_item(item: Any, old: Any, schema: Schema) -> Any:
    keys = schema.get("x-kubernetes-list-map-keys")
    if keys is None or not isinstance(old, list) or not isinstance(item, dict):
        return ABSENT
    wanted = [item.get(key) for key in keys]
    return next((entry for entry in old if [entry.get(key) for key in keys] == wanted), ABSENT)


@cache
def _compiled(rule: str) -> Any:
    return cel.compile(rule)


def _context(program: Any, variables: dict[str, Any]) -> Any:
    context = cel.Context(variables)
    for name in program.functions():
        if name in STDLIB_FUNCTIONS:  # lowerAscii, substring: as in Kubernetes' CEL, opt-in here
            context.add_function(name, STDLIB_FUNCTIONS[name])
    return context
