"""Linear programmes by column generation, on OR-Tools' GLOP, which is loaded on first use."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from binpacking.problem import BrokenInvariant

if TYPE_CHECKING:
    from ortools.linear_solver.pywraplp import Constraint, Variable


#: Ways to solve anew, from scratch, what GLOP gave up on for numerical reasons.
RETRIES = (
    "use_preprocessing: false",
    "use_preprocessing: false use_scaling: false",
    "use_dual_simplex: true",
)


class LinearProgramme:
    """Maximise over variables >= 0 under rows ``low <= row <= high``; columns and bounds may change."""

    def __init__(self) -> None:
        from ortools.linear_solver import pywraplp

        self._solver = pywraplp.Solver.CreateSolver("GLOP")
        self._afresh = pywraplp.MPSolverParameters()
        self._afresh.SetIntegerParam(self._afresh.INCREMENTALITY, self._afresh.INCREMENTALITY_OFF)
        self._optimal: int = pywraplp.Solver.OPTIMAL
        self._objective = self._solver.Objective()
        self._objective.SetMaximization()
        self._rows: list[Constraint] = []
        self._columns: list[Variable] = []

    def row(self, low: float, high: float) -> int:
        """Add an empty row; returns its index. ``float("inf")`` leaves a side open."""
        self._rows.append(self._solver.Constraint(low, high))
        return len(self._rows) - 1

    def bound(self, row: int, low: float, high: float) -> None:
        """Change a row's bounds."""
        self._rows[row].SetBounds(low, high)

    def column(self, gain: float, entries: Sequence[tuple[int, float]], most: float = float("inf")) -> int:
        """Add a variable from 0 to ``most`` with its entries in rows; returns its index."""
        variable = self._solver.NumVar(0.0, most, "")
        for row, amount in entries:
            self._rows[row].SetCoefficient(variable, amount)
        self._objective.SetCoefficient(variable, gain)
        self._columns.append(variable)
        return len(self._columns) - 1

    def solve(self) -> float | None:
        """The optimum, or None where no solution satisfies the rows."""
        status = self._solver.Solve()
        for retry in RETRIES:
            if status != self._solver.ABNORMAL:
                break
            self._solver.SetSolverSpecificParametersAsString(retry)
            status = self._solver.Solve(self._afresh)
        self._solver.SetSolverSpecificParametersAsString("")
        if status == self._optimal:
            return float(self._objective.Value())
        if status == self._solver.INFEASIBLE:
            return None
        raise BrokenInvariant(f"GLOP ended with status {status}")

    def duals(self) -> NDArray[np.float64]:
        """float64[rows]: what one more unit of each row would gain."""
        return np.array([row.dual_value() for row in self._rows])
