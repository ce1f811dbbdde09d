"""The subset of kustomize that local mode understands: resources, namespace, labels, configMapGenerator.

Anything else in a ``kustomization.yaml`` is refused by name: a manifest that local mode reads differently
from ``kubectl apply -k`` would be worse than none. Reads files below the folder; writes nothing.
"""

import base64
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from meshtwin.errors import InvalidInput

__all__ = ["FILE_NAMES", "build", "read_documents"]

FILE_NAMES: Final = ("kustomization.yaml", "kustomization.yml", "Kustomization")
KNOWN_FIELDS: Final = frozenset(
    {"apiVersion", "kind", "resources", "namespace", "labels", "configMapGenerator", "generatorOptions"}
)
GENERATOR_FIELDS: Final = frozenset({"name", "files", "literals", "namespace", "options"})
OPTION_FIELDS: Final = frozenset({"disableNameSuffixHash", "labels", "annotations", "immutable"})


def build(folder: Path) -> list[dict[str, Any]]:
    """Manifests of a folder with a kustomization; raises `InvalidInput` naming file and field."""
    path = next((folder / name for name in FILE_NAMES if (folder / name).is_file()), None)
    if path is None:
        raise InvalidInput(f"no kustomization.yaml in {folder}")
    documents = read_documents(path)
    if len(documents) != 1:
        raise InvalidInput(f"{len(documents)} documents where one belongs", place=str(path))
    plan = documents[0]
    _refuse_unknown(plan, KNOWN_FIELDS, str(path))
    manifests = [m for entry in plan.get("resources", []) for m in _resource(folder, entry, path)]
    for index, generator in enumerate(plan.get("configMapGenerator", [])):
        place = f"{path}: configMapGenerator[{index}]"
        manifests.append(_config_map(folder, generator, plan.get("generatorOptions") or {}, place))
    for manifest in manifests:
        _transform(manifest, plan, str(path))
    return manifests


def read_documents(path: Path) -> list[dict[str, Any]]:
    """The YAML documents of a file, empty ones left out; raises `InvalidInput` with file and line."""
    try:
        documents = list(yaml.safe_load_all(path.read_text(encoding="utf-8")))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{path}:{mark.line + 1}" if mark else str(path)
        raise InvalidInput(f"not YAML: {getattr(error, 'problem', error)}", place=place) from error
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"cannot be read: {error}", place=str(path)) from error
    for document in documents:
        if document is not None and not isinstance(document, dict):
            raise InvalidInput(f"a {type(document).__name__} where an object belongs", place=str(path))
    return [document for document in documents if document]


def _resource(folder: Path, entry: str, path: Path) -> Iterator[dict[str, Any]]:
    if "://" in entry:
        raise InvalidInput(f"remote resource {entry}: local mode reads only files", place=str(path))
    target = folder / entry
    if target.is_dir():
        yield from build(target)
    elif target.is_file():
        yield from read_documents(target)
    else:
        raise InvalidInput(f"resource {entry} does not exist", place=str(path))


def _config_map(folder: Path, generator: Mapping[str, Any], defaults: Mapping[str, Any], place: str) -> dict[str, Any]:
    _refuse_unknown(generator, GENERATOR_FIELDS, place)
    options = {**defaults, **(generator.get("options") or {})}
    _refuse_unknown(options, OPTION_FIELDS, place)
    if not options.get("disableNameSuffixHash"):
        raise InvalidInput("names with a hash suffix are not supported: set disableNameSuffixHash", place=place)
    metadata: dict[str, Any] = {"name": generator.get("name")}
    for field in ("labels", "annotations"):
        if options.get(field):
            metadata[field] = dict(options[field])
    if generator.get("namespace"):
        metadata["namespace"] = generator["namespace"]
    manifest: dict[str, Any] = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}
    for entry in generator.get("files", []):
        key, _, name = entry.rpartition("=")
        source = folder / name
        if not source.is_file():
            raise InvalidInput(f"file {name} does not exist", place=place)
        _put(manifest, key or source.name, source.read_bytes())
    for entry in generator.get("literals", []):
        key, _, value = entry.partition("=")
        _put(manifest, key, value.encode())
    return manifest


def _put(manifest: dict[str, Any], key: str, content: bytes) -> None:
    try:
        manifest.setdefault("data", {})[key] = content.decode()
    except UnicodeDecodeError:
        manifest.setdefault("binaryData", {})[key] = base64.b64encode(content).decode()


def _transform(manifest: dict[str, Any], plan: Mapping[str, Any], place: str) -> None:
    metadata = manifest.setdefault("metadata", {})
    if plan.get("namespace") and manifest.get("kind") != "Namespace":
        metadata["namespace"] = plan["namespace"]
    for entry in plan.get("labels", []):
        _refuse_unknown(entry, frozenset({"pairs", "includeSelectors", "includeTemplates"}), place)
        metadata["labels"] = {**metadata.get("labels", {}), **entry.get("pairs", {})}


def _refuse_unknown(mapping: Mapping[str, Any], known: frozenset[str], place: str) -> None:
    unknown = sorted(set(mapping) - known)
    if unknown:
        message = f"{', '.join(unknown)} not supported in local mode (supported: {', '.join(sorted(known))})"
        raise InvalidInput(message, place=place)
