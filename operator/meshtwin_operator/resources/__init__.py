"""The eight custom resources as pydantic models, and the CRDs, corpus and rules generated from them.

Shapes, bounds and cross-field rules of what users write; nothing here reads or writes a cluster.
"""
