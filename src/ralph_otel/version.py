"""The version of ralph-otel, read by the build and by `ralph-otel --version`."""

__version__ = "0.1.0"
