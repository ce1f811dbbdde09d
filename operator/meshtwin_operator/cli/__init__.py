"""The command line: the same verbs on a cluster and on local mode.

A thin rim over `target` (where the objects are) and the pure modules beside it. Heavy imports are made
inside the commands, so that ``meshtwin --help`` answers at once.
"""
