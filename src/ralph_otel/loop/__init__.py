"""The embedded runner: a Ralph loop of our own, with telemetry built in."""
