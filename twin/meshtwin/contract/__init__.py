"""The MQTT contract between gateways, twins and the operator: topics and payloads.

Pydantic models of what goes over the wire, and their conversion to the values of `meshtwin.mesh`.
No client, no broker, no clock. JSON schemas and the AsyncAPI document are generated from here.
"""
