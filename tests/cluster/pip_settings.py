"""How this machine's pip reaches its package index, as files that a build mounts and never keeps."""

import configparser
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

__all__ = ["read_pip_settings", "write_pip_secrets"]

KEYS: Final = ("index-url", "extra-index-url", "trusted-host", "proxy", "timeout", "retries", "cert")
MOUNTED_AUTHORITIES: Final = "/run/secrets/authorities"  # where the Dockerfile mounts the second secret


def write_pip_secrets(folder: Path) -> Mapping[str, Path]:
    """Secret id -> file in ``folder``: ``pip`` always, ``authorities`` where pip trusts other ones than its own."""
    home = Path.home()
    files = [
        *(Path("/etc/pip.conf"), Path("/etc/xdg/pip/pip.conf")),
        *(home / ".pip" / "pip.conf", home / ".config" / "pip" / "pip.conf"),
    ]
    settings = dict(read_pip_settings(files, os.environ))
    secrets = {"pip": folder / "pip.conf"}
    authorities = settings.get("cert")
    if authorities and Path(authorities).is_file():
        secrets["authorities"] = folder / "authorities"
        secrets["authorities"].write_bytes(Path(authorities).read_bytes())
        settings["cert"] = MOUNTED_AUTHORITIES
    else:
        settings.pop("cert", None)
    lines = [f"{key} = {value}" for key, value in settings.items()]
    secrets["pip"].write_text("\n".join(["[global]", *lines, ""]))
    return secrets


def read_pip_settings(files: Iterable[Path], environment: Mapping[str, str]) -> Mapping[str, str]:
    """The values of `KEYS`; later files win over earlier ones, ``PIP_*`` variables over files."""
    more = environment.get("PIP_CONFIG_FILE")
    settings: dict[str, str] = {}
    for file in [*files, *([Path(more)] if more else [])]:
        parser = configparser.RawConfigParser()
        parser.read(file)
        for section in ("global", "install"):
            if parser.has_section(section):
                settings |= {key: value for key, value in parser.items(section) if key in KEYS}
    for key in KEYS:
        value = environment.get(f"PIP_{key.upper().replace('-', '_')}")
        if value:
            settings[key] = value
    # Continuation lines of a file are a list; pip takes it with blanks in between as well.
    return {key: " ".join(value.split()) for key, value in settings.items()}
