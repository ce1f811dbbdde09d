"""The roof: Kubernetes, reconciliation, local mode, command line."""
