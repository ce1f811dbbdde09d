"""Pure reconciliation: what is observed and the time go in, an `Outcome` comes out.

One module per kind. No API client, no MQTT, no clock, no file. Two drivers (`kube`, `local`) carry it out.
"""
