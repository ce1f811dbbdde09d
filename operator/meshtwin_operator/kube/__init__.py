"""The Kubernetes driver: fulfils `World` from watches and carries out `Outcome` through the API server.

The only package that imports kopf and kubernetes. Decisions belong to `reconcile`.
"""
