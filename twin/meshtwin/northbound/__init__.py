"""The northbound interface: REST of segment and parent twins, its messages, errors and tokens.

Knows what a twin answers (`views`), not how it comes to know it. No MQTT, no files, no model runs here.
"""
