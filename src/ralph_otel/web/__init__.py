"""`ralph-otel web`: the loops of this machine on a page, live.

One thread reads the journals (`library`); what it finds becomes plain objects (`answers`), which `routes` serves as
JSON and `feed` sends as they change. The page in `static/` is made from that JSON alone. `openapi.json` describes it.
Starlette and uvicorn come with the extra `web`; nothing here is imported before the command is called.
"""
