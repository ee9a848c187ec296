"""The endpoint of a recorder: its address, who may reach it, and the file by which Prometheus finds it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ralph_otel.config import MetricsConfig, MetricsExportFormat, address_of, is_textfile
from ralph_otel.exporters.prometheus.server import PrometheusServer, Read
from ralph_otel.exporters.prometheus.targets import remove_target, sweep_targets, target_labels, write_target
from ralph_otel.exporters.values import encodable
from ralph_otel.notices import notice, shown
from ralph_otel.serving import WebConfigError, admit

_FIRST_PORT, _LAST_PORT = 9464, 9474


class Endpoint:
    """A server that is up, and its file in `<home>/targets`.

    Args:
        server: the server.
        targets: the folder.
        instance_id: the resource's `service.instance.id`, which the file is named after.
    """

    def __init__(self, server: PrometheusServer, targets: Path, instance_id: str) -> None:
        self.server = server
        self._targets = targets
        self._instance_id = instance_id

    def announce(self, resource: Mapping[str, Any], pushes: bool) -> None:
        """Write the file, and sweep those of the long dead.

        Args:
            resource: the resource's attributes.
            pushes: whether the metrics are pushed as well.
        """
        try:
            sweep_targets(self._targets)
            address, scheme = self.server.address, self.server.scheme
            write_target(self._targets, self._instance_id, address, target_labels(resource), pushes, scheme)
        except OSError as error:
            notice(
                f"prometheus file_sd target in {self._targets}: {error.strerror or error}; scrape the endpoint by hand"
            )

    def close(self, crashed: bool) -> None:
        """End the server.

        Args:
            crashed: whether a run has crashed. Who scrapes may not have seen that yet: then the file stays, and a
                target that does not answer says so.
        """
        if not crashed:
            remove_target(self._targets, self._instance_id)
        self.server.close()


def serve(config: MetricsConfig, instance_id: str, read: Read) -> Endpoint | None:
    """Start the server that the configuration asks for.

    Args:
        config: what is wanted.
        instance_id: the resource's `service.instance.id`.
        read: gives the figures.

    Returns:
        The endpoint; None, and a notice, where there can be none.
    """
    target = config.target(MetricsExportFormat.PROMETHEUS)
    address = ("127.0.0.1", _FIRST_PORT) if target is None else address_of(target)
    if address is None:
        if not is_textfile(str(target)):
            notice(f"prometheus: the target {shown(target)} will not do; it must be HOST:PORT or a file's path, *.prom")
        return None
    host, port = address
    try:
        admission = admit(config, host, "prometheus endpoint")
        last_port = _LAST_PORT if target is None else port
        server = PrometheusServer(read, admission, port, last_port, encodable(instance_id))
    except WebConfigError as error:
        notice(f"prometheus endpoint: {error}; there is none until then")
        return None
    except OSError as error:
        notice(f"prometheus endpoint: {error}; set RALPH_OTEL_EXPORT_TARGET=prometheus=HOST:PORT")
        return None
    return Endpoint(server, config.home / "targets", instance_id)
