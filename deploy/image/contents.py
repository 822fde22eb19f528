"""What is in each image: ``python -m deploy.image.contents`` writes its SBOM and the list of its licences.

For each target an environment is made from the very lock that the Dockerfile installs; CycloneDX
describes it, and licences are read from that description: build/sbom/TARGET.cdx.json and TARGET-licences.md.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[2]
OUT: Final = ROOT / "build" / "sbom"
TARGETS: Final = ("scheduler", "agent")
COMMAND_S_MAX: Final = 600.0
UNKNOWN: Final = "not told"


@dataclass(frozen=True, slots=True, order=True, kw_only=True)
class Package:
    name: str
    version: str
    licences: tuple[str, ...]


def lock_of(target: str) -> Path:
    return Path(__file__).with_name(f"{target}.lock")


def describe(target: str, folder: Path) -> Path:
    """The SBOM of a target, made anew; CycloneDX 1.6 as JSON. Raises: CalledProcessError, TimeoutExpired."""
    environment = folder / f"{target}-environment"
    python = environment / "bin" / "python"
    uv = Path(sys.executable).with_name("uv")
    _run([uv, "venv", "--quiet", "--clear", "--python", sys.executable, environment])
    _run([uv, "pip", "install", "--quiet", "--python", python, "--require-hashes", "-r", lock_of(target)])
    sbom = folder / f"{target}.cdx.json"
    tool = Path(sys.executable).with_name("cyclonedx-py")
    words = ["environment", "--output-reproducible", "--spec-version", "1.6", "--output-format", "JSON"]
    _run([tool, *words, "--pyproject", ROOT / "pyproject.toml", "--output-file", sbom, python])
    return sbom


def packages(sbom: Mapping[str, Any]) -> list[Package]:
    """By name. sbom: CycloneDX as JSON."""
    return sorted(
        Package(
            name=component["name"],
            version=component.get("version", ""),
            licences=tuple(sorted(set(_licences(component)))) or (UNKNOWN,),
        )
        for component in sbom.get("components", ())
    )


def page(target: str, found: Sequence[Package]) -> str:
    """The list of licences, for people."""
    rows = "".join(f"| {one.name} | {one.version} | {'; '.join(one.licences)} |\n" for one in found)
    return (
        f"# Licences in the image stowplan-{target}\n\n| package | version | licence |\n|---|---|---|\n{rows}"
    )


def _licences(component: Mapping[str, Any]) -> Iterator[str]:
    for entry in component.get("licenses", ()):
        if "expression" in entry:
            yield entry["expression"]
        else:
            licence = entry.get("license", {})
            # A classifier, or a whole text where a package says nothing shorter.
            text: str = licence.get("id") or licence.get("name") or UNKNOWN
            yield text.splitlines()[0][:80]


def _run(command: Sequence[str | Path]) -> None:
    subprocess.run([str(word) for word in command], check=True, timeout=COMMAND_S_MAX)


if __name__ == "__main__":
    OUT.mkdir(parents=True, exist_ok=True)
    for name in TARGETS:
        document = json.loads(describe(name, OUT).read_text(encoding="utf-8"))
        listed = packages(document)
        (OUT / f"{name}-licences.md").write_text(page(name, listed), encoding="utf-8")
        print(f"build/sbom/{name}.cdx.json: {len(listed)} packages")
