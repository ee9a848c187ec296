"""Who may reach our servers: the Prometheus endpoint, and the web page.

They listen on this machine alone. An address that others can reach needs a certificate, and passwords, a token or the
clients' own certificates; or the word that it shall be open (`web_insecure`). What each request must bring is one
question, `Admission.refusal()`, whatever the server is built with.

    admission = admit(config, "0.0.0.0", "prometheus endpoint")   # may fall back to 127.0.0.1, with a notice
    listen(admission.host, ssl=admission.tls and admission.tls.context())
    if refusal := admission.refusal(method, headers.get):
        answer(refusal.status, refusal.headers, refusal.text)
"""

from ralph_otel.serving.admission import Admission, Refusal, admit
from ralph_otel.serving.credentials import Credentials
from ralph_otel.serving.webconfig import Tls, WebConfig, WebConfigError, read_web_config

__all__ = [
    "Admission",
    "Credentials",
    "Refusal",
    "Tls",
    "WebConfig",
    "WebConfigError",
    "admit",
    "read_web_config",
]
