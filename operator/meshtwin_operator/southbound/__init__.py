"""Wires to what is below the operator: brokers, gateways, twins. Both drivers use it.

Connections, accounts and certificates of brokers; views of what gateways and twins said. No decision is taken
here, and nothing here knows Kubernetes.
"""
