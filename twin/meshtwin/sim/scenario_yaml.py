"""YAML of unknown origin as plain values: bounded, without surprises, and with line numbers for complaints."""

import difflib
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, get_args

import yaml
from pydantic import BaseModel

from meshtwin.errors import InvalidInput

__all__ = ["YamlText", "parse_yaml"]

# libyaml reads a matrix of a thousand nodes in seconds where pure Python takes minutes
LOADER: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
CHARACTERS_MAX: Final = 16_000_000  # an attenuation matrix of 1,500 nodes
TEXT_TAG: Final = "tag:yaml.org,2002:str"
WHOLE_TAG: Final = "tag:yaml.org,2002:int"
FLOAT_TAG: Final = "tag:yaml.org,2002:float"
OCTAL: Final = re.compile(r"[-+]?0[0-7_]+")  # in YAML 1.1; a number of its digits in YAML 1.2
DEPTH_MAX: Final = 16  # the format needs six
NUMBER_MAX: Final = 400  # characters; a float is exact with 17, and Python refuses integers of 4,300 digits
NEAR_RATIO: Final = 0.6  # of letters in common, from which a key is taken for a slip of another (difflib)
VALUES_MAX: Final = 4_000_000  # with every alias counted as often as it stands for something


class YamlText:
    """Plain values of one document, and where each stands in the text."""

    def __init__(self, root: yaml.Node | None, value: object) -> None:
        self._root = root
        self.value = value

    def line_of(self, path: Sequence[object]) -> int | None:
        """Line, from 1, of the value at ``path`` (keys and indices), or of the last part of it that exists."""
        node = self._root
        for step in path:
            following: yaml.Node | None = None
            if isinstance(node, yaml.MappingNode):
                following = next((v for k, v in node.value if getattr(k, "value", None) == step), None)
            elif isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
                following = node.value[step]
            if following is None:
                break
            node = following
        return None if node is None else node.start_mark.line + 1


def parse_yaml(text: str, place: str) -> YamlText:
    """The one document in ``text``; raises `InvalidInput` for what is no YAML, too large, too deep or ambiguous.

    Aliases may be used, but not nested into growth ("billion laughs"); a key given twice is refused.
    """
    if len(text) > CHARACTERS_MAX:
        raise InvalidInput(f"{len(text)} characters are more than {CHARACTERS_MAX}", reason="FileTooLarge", place=place)
    try:
        _check_depth(text, place)
        root = yaml.compose(text, Loader=LOADER)
        if root is None:
            return YamlText(None, None)
        _check_tree(root, place)
        value = LOADER("").construct_document(root)
    except yaml.YAMLError as error:
        raise InvalidInput(f"not YAML: {' '.join(str(error).split())}", place=place) from error
    except (ValueError, OverflowError, RecursionError) as error:  # impossible dates, numbers of ten thousand digits
        raise InvalidInput(f"not a usable value: {error}", place=place) from error
    return YamlText(root, value)


def _check_depth(text: str, place: str) -> None:
    """Before anything recursive looks at it."""
    depth = 0
    for event in yaml.parse(text, Loader=LOADER):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > DEPTH_MAX:
                line = "" if event.start_mark is None else f": line {event.start_mark.line + 1}"
                raise InvalidInput(f"nested more than {DEPTH_MAX} deep", place=f"{place}{line}")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _check_tree(root: yaml.Node, place: str) -> None:
    sizes: dict[int, int] = {}
    if _count_values(root, sizes, place) > VALUES_MAX:
        raise InvalidInput(
            f"more than {VALUES_MAX} values once aliases are written out", reason="FileTooLarge", place=place
        )


def _count_values(node: yaml.Node, sizes: dict[int, int], place: str) -> int:
    """Values under ``node``, aliases written out; depth is bounded, and each node is visited once."""
    known = sizes.get(id(node))
    if known == 0:
        raise InvalidInput("an alias stands for something that contains it", place=_line(node, place))
    if known is not None:
        return known
    sizes[id(node)] = 0  # under way
    total = 1
    if isinstance(node, yaml.MappingNode):
        keys: set[object] = set()
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag == "tag:yaml.org,2002:merge":
                raise InvalidInput("a key is not a plain word", place=_line(key, place))
            if key.value in keys:
                raise InvalidInput(f"key {key.value!r} is given twice", place=_line(key, place))
            keys.add(key.value)
            total += 1 + _count_values(value, sizes, place)
    elif isinstance(node, yaml.ScalarNode) and node.tag != TEXT_TAG and len(node.value) > NUMBER_MAX:
        raise InvalidInput(f"a number of {len(node.value)} digits, more than {NUMBER_MAX}", place=_line(node, place))
    elif isinstance(node, yaml.ScalarNode) and node.tag == WHOLE_TAG and OCTAL.fullmatch(node.value):
        raise InvalidInput(
            f"{node.value} would be read as an octal number; write it without the leading zero, an address in quotes",
            place=_line(node, place),
        )
    elif isinstance(node, yaml.ScalarNode) and node.tag in (WHOLE_TAG, FLOAT_TAG) and ":" in node.value:
        node.tag = TEXT_TAG  # as in YAML 1.2: 1:30 is a time of day or a mistake, and never 90 (YAML 1.1, base 60)
    elif isinstance(node, yaml.SequenceNode):
        total += sum(_count_values(value, sizes, place) for value in node.value)
    sizes[id(node)] = total
    return total


def _line(node: yaml.Node, place: str) -> str:
    return f"{place}: line {node.start_mark.line + 1}"


def format_path(path: Sequence[object]) -> str:
    """``nodes.2.positionM`` for keys and indices.

    >>> format_path(("nodes", 2, "positionM"))
    'nodes.2.positionM'
    """
    return ".".join(str(part) for part in path)


def describe(errors: Sequence[Mapping[str, Any]], text: YamlText, place: str, model: type[BaseModel]) -> InvalidInput:
    """The complaint about the first of the errors that ``model`` found: value, limit, line and path.

    A key that is missing may be there under a name that is slightly wrong: the unknown one beside it goes first.
    """
    first = next(
        (e for e in errors if e["type"] == "extra_forbidden" and e["loc"][:-1] == errors[0]["loc"][:-1]), errors[0]
    )
    # Where several kinds are allowed, the model adds a name of the kind to the path, which no file has.
    path = tuple(part for part in first["loc"] if not (isinstance(part, str) and {"[", "("} & set(part)))
    if not path and not isinstance(first.get("input"), Mapping):
        what = "nothing" if text.value is None else f"a {type(text.value).__name__}"
        return InvalidInput(f"{what} in place of keys and values, such as nodes: and flows:", place=place)
    line = text.line_of(path)
    value = first.get("input")
    told = f" (got {value!r})" if isinstance(value, str | int | float) and len(repr(value)) < 60 else ""
    where = f"{place}: line {line}" if line is not None else place
    said = first["msg"].removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        said, told = _tell_unknown(str(path[-1]), _keys_at(model, path[:-1])), ""
    return InvalidInput(f"{said}{told}", place=f"{where}: {format_path(path)}" if path else where)


def _tell_unknown(key: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(key, known, n=1, cutoff=NEAR_RATIO)
    same = [name for name in known if name.lower() == key.replace("_", "").replace("-", "").lower()]
    return f"unknown key {key!r}; " + (
        f"did you mean {(same or near)[0]}?" if same or near else f"there are {', '.join(sorted(known))}"
    )


def _keys_at(model: type[BaseModel], path: Sequence[object]) -> list[str]:
    """The keys of the part of ``model`` at ``path`` (keys and indices)."""
    for step in path:
        if isinstance(step, str):
            field = next((f for f in model.model_fields.values() if f.alias == step), None)
            inner = None if field is None else _model_within(field.annotation)
            if inner is None:
                return []
            model = inner
    return [field.alias or name for name, field in model.model_fields.items()]


def _model_within(annotation: object) -> type[BaseModel] | None:
    """The document that a field holds, alone, in a list, or as one of several kinds."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := _model_within(part)) is not None), None)
