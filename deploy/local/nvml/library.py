"""The fake library in this process, behind the unmodified ``pynvml``, and the scenarios it plays."""

from __future__ import annotations

import ctypes
from pathlib import Path

import msgspec
import pynvml
import yaml

from deploy.local.nvml import table
from deploy.local.nvml.build import ensure_library
from deploy.local.nvml.errors import ScenarioError
from scheduler.inventory.scenario import Scenario

SCENARIOS = Path(__file__).with_name("scenarios")
#: The variable that tells the library its table where no thread said so, as in an agent of its own process.
TABLE_VARIABLE = "STOWPLAN_NVML"


def read_scenario(path: Path) -> Scenario:
    """Read a scenario, YAML by hand or JSON by the recorder. Raises: ScenarioError naming file and field."""
    try:
        return msgspec.convert(yaml.safe_load(path.read_text(encoding="utf-8")), Scenario)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ScenarioError(f"{path}: {error}") from error
    except msgspec.ValidationError as error:
        message, _, field = str(error).partition(" - at `$")
        raise ScenarioError(f"{path}: {field.strip('.`') or 'top level'}: {message}") from error


def shipped(name: str) -> Scenario:
    """A scenario of this folder by its name, such as ``h100-nvswitch``. Raises: ScenarioError."""
    return read_scenario(SCENARIOS / f"{name}.yaml")


class FakeLibrary:
    """The library loaded into ``pynvml``; one a process, since ``pynvml`` holds only one.

    Raises NvmlBuildFailed when it cannot be built.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or ensure_library()
        self._library = ctypes.CDLL(str(self.path))
        pynvml.nvmlLib = self._library
        pynvml._nvmlGetFunctionPointer_cache.clear()

    def use(self, table_file: Path) -> None:
        """Calls of this thread are about the node whose table this is, from now on."""
        self._library.stowplanFakeUse(str(table_file).encode())


class FakeNode:
    """One node's GPUs: ``play`` a scenario, then again another one whenever something happens to them."""

    def __init__(self, folder: Path, name: str = "node", scenario: Scenario | None = None) -> None:
        self.name = name
        self.table_file = folder / f"{name}.table"
        self.scenario = Scenario()
        self.play(scenario or Scenario())

    def play(self, scenario: Scenario) -> None:
        """What NVML says from now on; the next call sees it."""
        self.scenario = scenario.expanded(self.name)
        table.write(self.scenario, self.table_file, self.name)

    def pod_of(self, pid: int) -> str | None:
        """The pod that a process belongs to, by the scenario: its UID, "" for nobody's, None for unknown."""
        for device in self.scenario.devices:
            for process in device.processes:
                if process.pid == pid:
                    return process.pod
        return None
