"""Adapters to foreign wires: MQTT today. Effects live here; meaning does not."""
