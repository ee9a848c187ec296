"""What `ralph-otel run` puts into a Python that it starts. This folder stands first on PYTHONPATH below it.

`sitecustomize` runs at the start of every Python there, in any environment and of any version. It takes this folder off
`sys.path`, has `ralph_otel_hook` wait for the import of a runner's module, and hands on to the environment's own
`sitecustomize`, if there is one.

Two variables travel: PYTHONPATH, and RALPH_OTEL_LAUNCH (see `ralph_otel.runners.launched`). The rule for them: a Python
leaves them to its children until it turns out to be a runner, that is until it imports a module that a known runner's
installed distribution brings. Then both are taken out of its environment, before it can start an agent. So they get
through a wrapper such as `uv run` or a script that starts the runner, and never reach an agent.
"""
