"""Snapshots as files: the JSON of ``GET /api/v1/snapshot``."""

from pathlib import Path
from typing import Final

from pydantic import ValidationError

from meshtwin.errors import InvalidInput
from meshtwin.mesh.snapshots import Snapshot
from meshtwin.northbound.messages import parse_snapshot
from meshtwin.sim.files import read_bounded

__all__ = ["read_snapshot"]

FILE_MAX_BYTES: Final = 64 * 2**20  # a thousand nodes of thirty links are about 5 MB


def read_snapshot(source: str | bytes | Path) -> Snapshot:
    """The snapshot in a file, or in JSON text (that begins with "{"), as a twin's ``GET /api/v1/snapshot`` gives it.

    Raises `InvalidInput` naming the first wrong field.
    """
    if isinstance(source, bytes) or (isinstance(source, str) and source.lstrip().startswith("{")):
        place, content = "snapshot", source if isinstance(source, bytes) else source.encode()
    elif isinstance(source, str | Path):
        place, content = str(source), read_bounded(Path(source), FILE_MAX_BYTES)
    else:
        raise InvalidInput(f"{type(source).__name__} is no file name and no JSON text", place="snapshot")
    try:
        return parse_snapshot(content).snapshot
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        said = first["msg"].removeprefix("Value error, ")
        raise InvalidInput(f"not a snapshot: {said}", place=f"{place}: {where}" if where else place) from error
    except InvalidInput as error:
        where = f"{place}: {error.place}" if error.place else place
        raise InvalidInput(error.message, reason=error.reason, place=where) from error
