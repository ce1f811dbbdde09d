"""The driver without Kubernetes: manifests from a folder, status in SQLite, twins as child processes.

It carries out what `meshtwin_operator.reconcile` decides, on one machine and on loopback. It decides
nothing about twins or networks itself: what it adds is storage, processes, ports and secrets.
"""
