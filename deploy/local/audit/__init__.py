"""An auditor of the local control plane: its own record of every revision, judged by the invariants."""

from deploy.local.audit.auditor import Auditor, Overdue

__all__ = ["Auditor", "Overdue"]
