"""`make demo`: real gangs on a real control plane, and a judge that asks the API server alone."""
