"""Files of Kubernetes manifests, as people write them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import yaml

FILE_BYTES_MAX = 16 << 20
Manifest = Mapping[str, object]


class BadManifest(ValueError):
    """A manifest that cannot be taken; the message is for whoever wrote it."""


def documents(path: Path) -> Iterator[tuple[str, Manifest]]:
    """Every manifest of a YAML file, those inside of a List too, and where it stands. Raises: BadManifest."""
    try:
        if path.stat().st_size > FILE_BYTES_MAX:
            raise BadManifest(f"{path}: larger than {FILE_BYTES_MAX:,} bytes; is this the right file?")
        found = list(yaml.safe_load_all(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
        raise BadManifest(f"{path}: {error}") from error
    for number, document in enumerate(found, start=1):
        items = document.get("items") if isinstance(document, dict) else None
        for at, item in enumerate(items if isinstance(items, list) else [document]):
            where = f"{path}: document {number}" + (f", items[{at}]" if isinstance(items, list) else "")
            if isinstance(item, dict):
                yield where, item
            elif item is not None:
                raise BadManifest(f"{where}: expected a manifest, found {ascii(item)[:40]}")
