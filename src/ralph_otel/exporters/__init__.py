"""Where the metrics, spans and log records go: Prometheus, OTLP, the console, JSON, StatsD."""
