"""The subset of kustomize that local mode understands: resources, namespace, labels, configMapGenerator.

Anything else in a ``kustomization.yaml`` is refused by name: a manifest that local mode reads differently
from ``kubectl apply -k`` would be worse than none. Reads files below the folder; writes nothing.
"""

import base64
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

import yaml

from meshtwin.errors import InvalidInput

__all__ = ["FILE_NAMES", "build", "read_documents"]

T = TypeVar("T")

FILE_NAMES: Final = ("kustomization.yaml", "kustomization.yml", "Kustomization")
KNOWN_FIELDS: Final = frozenset(
    {"apiVersion", "kind", "resources", "namespace", "labels", "configMapGenerator", "generatorOptions"}
)
GENERATOR_FIELDS: Final = frozenset({"name", "files", "literals", "namespace", "options"})
OPTION_FIELDS: Final = frozenset({"disableNameSuffixHash", "labels", "annotations", "immutable"})


# Larger than any honest manifest (a ConfigMap is one long string), small enough for a document whose
# aliases multiply ("billion laughs") to be refused within a fraction of a second.
VALUES_MAX: Final = 100_000
DEPTH_MAX: Final = 50
FILE_LIMIT_BYTES: Final = 8 * 1_048_576  # several ConfigMaps of the API server's limit in one file


def build(folder: Path, inside: tuple[Path, ...] = ()) -> list[dict[str, Any]]:
    """Manifests of a folder with a kustomization; raises `InvalidInput` naming file and field.

    ``inside`` are the folders whose kustomizations led here: one of them again would never end.
    """
    if folder.resolve() in inside:
        raise InvalidInput("its resources lead back to it: take one of them out", place=str(folder))
    path = next((folder / name for name in FILE_NAMES if (folder / name).is_file()), None)
    if path is None:
        raise InvalidInput(f"no kustomization.yaml in {folder}")
    documents = read_documents(path)
    if len(documents) != 1:
        raise InvalidInput(f"{len(documents)} documents where one belongs", place=str(path))
    plan = documents[0]
    _refuse_unknown(plan, KNOWN_FIELDS, str(path))
    inside = (*inside, folder.resolve())
    entries = _items(plan, "resources", str, str(path))
    manifests = [m for entry in entries for m in _resource(folder, entry, path, inside)]
    options = _mapping(plan, "generatorOptions", str(path))
    for index, generator in enumerate(_items(plan, "configMapGenerator", dict, str(path))):
        manifests.append(_config_map(folder, generator, options, f"{path}: configMapGenerator[{index}]"))
    for manifest in manifests:
        _transform(manifest, plan, str(path))
    return manifests


def read_documents(path: Path) -> list[dict[str, Any]]:
    """The YAML documents of a file, empty ones left out; raises `InvalidInput` with file and line."""
    try:
        size = path.stat().st_size
        if size > FILE_LIMIT_BYTES:
            raise InvalidInput(f"{size} bytes are above {FILE_LIMIT_BYTES}: split it", place=str(path))
        documents = list(yaml.safe_load_all(path.read_text(encoding="utf-8")))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{path}:{mark.line + 1}" if mark else str(path)
        raise InvalidInput(f"not YAML: {getattr(error, 'problem', error)}", place=place) from error
    except (OSError, ValueError) as error:  # ValueError: not UTF-8, or a number or date that is none
        raise InvalidInput(f"cannot be read: {error}", place=str(path)) from error
    except RecursionError as error:
        raise InvalidInput(f"nested deeper than {DEPTH_MAX}", place=str(path)) from error
    for document in documents:
        if document is not None and not isinstance(document, dict):
            raise InvalidInput(f"a {type(document).__name__} where an object belongs", place=str(path))
        _check_size(document, str(path))
    return [document for document in documents if document]


def _check_size(document: object, place: str) -> None:
    """Refuse what would not be plain JSON of a sane size: many values, deep or circular nesting, odd text."""
    waiting: list[tuple[object, int]] = [(document, 0)]
    count = 0
    while waiting:
        value, depth = waiting.pop()
        count += 1
        if depth > DEPTH_MAX or count > VALUES_MAX:
            what = f"nested deeper than {DEPTH_MAX}" if depth > DEPTH_MAX else f"more than {VALUES_MAX} values"
            raise InvalidInput(f"{what}: is an alias repeated, or circular?", place=place)
        parts: Iterable[object] = ()
        if isinstance(value, dict):
            parts = (*value, *value.values())
        elif isinstance(value, list | tuple | set):
            parts = value
        elif isinstance(value, str) and not value.isascii():
            _check_text(value, place)
        waiting.extend((part, depth + 1) for part in parts)


def _check_text(text: str, place: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidInput(f"text that is no Unicode: {error.reason}", place=place) from error


def _resource(folder: Path, entry: str, path: Path, inside: tuple[Path, ...]) -> Iterator[dict[str, Any]]:
    if "://" in entry:
        raise InvalidInput(f"remote resource {entry}: local mode reads only files", place=str(path))
    target = folder / entry
    if target.is_dir():
        yield from build(target, inside)
    elif target.is_file():
        yield from read_documents(target)
    else:
        raise InvalidInput(f"resource {entry} does not exist", place=str(path))


def _config_map(folder: Path, generator: Mapping[str, Any], defaults: Mapping[str, Any], place: str) -> dict[str, Any]:
    _refuse_unknown(generator, GENERATOR_FIELDS, place)
    options = {**defaults, **_mapping(generator, "options", place)}
    _refuse_unknown(options, OPTION_FIELDS, place)
    if not options.get("disableNameSuffixHash"):
        raise InvalidInput("names with a hash suffix are not supported: set disableNameSuffixHash", place=place)
    metadata: dict[str, Any] = {"name": generator.get("name")}
    for field in ("labels", "annotations"):
        if options.get(field):
            metadata[field] = _mapping(options, field, place)
    if generator.get("namespace"):
        metadata["namespace"] = generator["namespace"]
    manifest: dict[str, Any] = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}
    for entry in _items(generator, "files", str, place):
        key, _, name = entry.rpartition("=")
        source = folder / name
        if not source.is_file():
            raise InvalidInput(f"file {name} does not exist", place=place)
        _put(manifest, key or source.name, source.read_bytes())
    for entry in _items(generator, "literals", str, place):
        key, _, value = entry.partition("=")
        _put(manifest, key, value.encode())
    return manifest


def _put(manifest: dict[str, Any], key: str, content: bytes) -> None:
    try:
        manifest.setdefault("data", {})[key] = content.decode()
    except UnicodeDecodeError:
        manifest.setdefault("binaryData", {})[key] = base64.b64encode(content).decode()


def _transform(manifest: dict[str, Any], plan: Mapping[str, Any], place: str) -> None:
    metadata = _mapping(manifest, "metadata", place)
    manifest["metadata"] = metadata
    if plan.get("namespace") and manifest.get("kind") != "Namespace":
        metadata["namespace"] = plan["namespace"]
    for entry in _items(plan, "labels", dict, place):
        _refuse_unknown(entry, frozenset({"pairs", "includeSelectors", "includeTemplates"}), place)
        metadata["labels"] = {**_mapping(metadata, "labels", place), **_mapping(entry, "pairs", place)}


def _items(mapping: Mapping[str, Any], field: str, kind: type[T], place: str) -> list[T]:
    """A list of one kind; absent and null are empty, as for kustomize."""
    value = mapping.get(field)
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(item, kind) for item in value):
        raise InvalidInput(f"{field} is not a list of {'texts' if kind is str else 'objects'}", place=place)
    return value


def _mapping(mapping: Mapping[str, Any], field: str, place: str) -> dict[str, Any]:
    value = mapping.get(field)
    if value is not None and not isinstance(value, dict):
        raise InvalidInput(f"{field} is a {type(value).__name__} where an object belongs", place=place)
    return dict(value or {})


def _refuse_unknown(mapping: Mapping[str, Any], known: frozenset[str], place: str) -> None:
    unknown = sorted(str(field) for field in set(mapping) - known)
    if unknown:
        message = f"{', '.join(unknown)} not supported in local mode (supported: {', '.join(sorted(known))})"
        raise InvalidInput(message, place=place)
