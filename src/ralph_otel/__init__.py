"""OpenTelemetry for every Ralph loop."""
