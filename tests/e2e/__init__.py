"""The story through kubectl on a real Kubernetes: ``python -m tests.e2e`` (make e2e)."""
