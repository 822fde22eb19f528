"""Write every dashboard: ``python -m deploy.dashboards``."""

from __future__ import annotations

from deploy.dashboards.boards import DASHBOARDS
from deploy.dashboards.grafana import place_of, rendered

if __name__ == "__main__":
    for dashboard in DASHBOARDS:
        place_of(dashboard).write_text(rendered(dashboard), encoding="utf-8")
