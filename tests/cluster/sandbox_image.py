"""The image that holds a pod's namespaces: one static program, packed by hand, since there is no registry."""

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

__all__ = ["SANDBOX_IMAGE", "write_image"]

SANDBOX_IMAGE: Final = "meshtwin.dev/pause:1"
LAYER: Final = "application/vnd.oci.image.layer.v1.tar+gzip"
CONFIG: Final = "application/vnd.oci.image.config.v1+json"
MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"


def write_image(program: Path, archive: Path, *, name: str = SANDBOX_IMAGE) -> None:
    """An OCI archive of an image that has ``program`` alone and runs it."""
    layer = _tar({program.name: program.read_bytes()})
    packed = gzip.compress(layer, mtime=0)
    config = _json(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Entrypoint": [f"/{program.name}"], "User": "65535:65535"},
            "rootfs": {"type": "layers", "diff_ids": [_digest(layer)]},
        }
    )
    manifest = _json(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": _descriptor(CONFIG, config),
            "layers": [_descriptor(LAYER, packed)],
        }
    )
    named = {**_descriptor(MANIFEST, manifest), "annotations": {"io.containerd.image.name": name}}
    blobs = {f"blobs/sha256/{_digest(blob)[7:]}": blob for blob in (packed, config, manifest)}
    archive.write_bytes(
        _tar(
            {
                "oci-layout": _json({"imageLayoutVersion": "1.0.0"}),
                "index.json": _json({"schemaVersion": 2, "manifests": [named]}),
                **blobs,
            }
        )
    )


def _descriptor(kind: str, blob: bytes) -> dict[str, Any]:
    return {"mediaType": kind, "digest": _digest(blob), "size": len(blob)}


def _digest(blob: bytes) -> str:
    return f"sha256:{hashlib.sha256(blob).hexdigest()}"


def _json(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value).encode()


def _tar(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o755
            tar.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()
