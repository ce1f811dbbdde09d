"""Queries, recipes, pipelines: how a better configuration is found.

A *recipe* is a collection of queries with one aim; it proposes candidates from what the graph says. A
*pipeline* runs recipes in order, lets a judge simulate what they propose, and decides. Pure but for the
judge, which is passed in. No clock, no processes, no Kubernetes; nothing here sends anything to a network.
"""
