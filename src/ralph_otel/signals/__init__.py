"""Views of the events as OpenTelemetry signals: metrics, spans, log records, and what the processes use."""
