"""Prometheus metrics of the twins: names, help and labels in one place. Base units, few label values."""
