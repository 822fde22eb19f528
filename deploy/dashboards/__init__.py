"""Grafana dashboards from one source: ``python -m deploy.dashboards`` writes deploy/monitoring/dashboards."""
