"""The data repository of a twin: journal, checkpoints of the state, history.

The journal is the truth of what was accepted; the state is what folding it gives; a checkpoint saves folding
it again; the history is the journal in a form for questions. Only files here: no network, no clock.
"""
