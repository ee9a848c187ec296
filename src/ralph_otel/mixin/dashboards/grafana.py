"""Dashboards as the JSON that Grafana 11.6 and newer read, by Grafana's own library."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import count
from typing import Any

from grafana_foundation_sdk.builders import common, heatmap, prometheus, table, timeseries
from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.builders import stat as stats
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.runtime import UnknownDataquery
from grafana_foundation_sdk.cog.variants import Dataquery
from grafana_foundation_sdk.models import common as looks
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from ralph_otel.mixin.dashboards.model import LINKS, Dashboard, Kind, Panel, Query, Steps, Variable

_METRICS = models.DataSourceRef(type_val="prometheus", uid="${datasource}")
_TRACES = models.DataSourceRef(type_val="jaeger", uid="${traces}")
_MOST_TRACES = 20
"""Traces that are listed."""
_Shown = Any
"""A builder of a panel: they share these methods, but no class."""


def write(dashboard: Dashboard) -> str:
    """The JSON of a dashboard, as Grafana's provisioning reads it from a file."""
    built = builders.Dashboard(dashboard.title).uid(dashboard.uid).description(dashboard.description)
    built.tags(["ralph"]).timezone("browser").tooltip(models.DashboardCursorSync.CROSSHAIR).editable()
    built.time(dashboard.since, "now").refresh("30s")
    built.with_variable(builders.DatasourceVariable("datasource").label("metrics").type("prometheus"))
    if dashboard.traces:
        built.with_variable(builders.DatasourceVariable("traces").label("traces").type("jaeger"))
    for variable in dashboard.variables:
        built.with_variable(_variable(variable))
    for uid, title in LINKS.items():
        if uid != dashboard.uid:
            built.link(_link(uid, title))
    numbers = count(1)
    for row in dashboard.rows:
        built.with_row(builders.Row(row.title).id(next(numbers)))
        for panel in row.panels:
            built.with_panel(_panel(panel).id(next(numbers)))
    return json.dumps(json.loads(json.dumps(built.build(), cls=JSONEncoder)), indent=2, ensure_ascii=False) + "\n"


def _variable(variable: Variable) -> builders.QueryVariable:
    built = builders.QueryVariable(variable.name).label(variable.label).query(variable.query).datasource(_METRICS)
    built.refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED).sort(models.VariableSort.ALPHABETICAL_ASC)
    if variable.several:
        built.multi(True).include_all(True).all_value(".+")
        built.current(models.VariableOption(selected=True, text=["All"], value=["$__all"]))
    return built


def _link(uid: str, title: str) -> builders.DashboardLink:
    """To another dashboard, with what is chosen here."""
    link = builders.DashboardLink(title).type(models.DashboardLinkType.LINK).icon("dashboard")
    return link.url(f"/d/{uid}").include_vars(True).keep_time(True)


def _panel(panel: Panel) -> _Shown:
    shown = _BUILDERS[panel.kind](panel)
    shown.title(panel.title).description(panel.description).span(panel.width).height(panel.height)
    shown.unit(panel.unit).no_value("–").thresholds(_steps(panel.steps))
    if panel.decimals is not None:
        shown.decimals(panel.decimals)
    if panel.kind is Kind.TRACES:
        return shown.datasource(_TRACES).with_target(_Given(_search(panel.queries[0])))
    shown.datasource(_METRICS)
    for number, query in enumerate(panel.queries):
        shown.with_target(_query(query, panel.kind, chr(ord("A") + number)))
    return shown


def _steps(steps: Steps) -> builders.ThresholdsConfig:
    built = builders.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE)
    return built.steps([models.Threshold(value=value, color=color) for value, color in steps])


def _query(query: Query, kind: Kind, ref_id: str) -> prometheus.Dataquery:
    built = prometheus.Dataquery().expr(query.expr).ref_id(ref_id)
    if kind in (Kind.STAT, Kind.TABLE):
        built.instant()
    else:
        built.range().interval("1m")
    if kind is Kind.TABLE:
        return built.format(PromQueryFormat.TABLE)
    if kind is Kind.HEATMAP:
        built.format(PromQueryFormat.HEATMAP)
    if query.exemplars:
        built.exemplar(True)
    return built.legend_format(query.legend or "__auto")


class _Given(Builder[Dataquery]):
    """A query that the library has no builder for: it has none for Jaeger."""

    def __init__(self, query: dict[str, Any]) -> None:
        self._query = query

    def build(self) -> Dataquery:
        """The query."""
        built: Dataquery = UnknownDataquery(self._query)
        return built


def _search(query: Query) -> dict[str, Any]:
    return {
        "refId": "A",
        "datasource": {"type": "jaeger", "uid": "${traces}"},
        "queryType": "search",
        "service": "$job",
        "tags": query.expr,
        "limit": _MOST_TRACES,
    }


# -- the kinds of panels -----------------------------------------------------------------------------------------------


def _stat(panel: Panel) -> _Shown:
    built = stats.Panel().reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).values(False))
    return built.color_mode(looks.BigValueColorMode.VALUE).graph_mode(looks.BigValueGraphMode.NONE)


def _lines(panel: Panel) -> _Shown:
    built = _timeseries(panel).draw_style(looks.GraphDrawStyle.LINE).line_width(1).fill_opacity(8)
    built.show_points(looks.VisibilityMode.AUTO).span_nulls(False).axis_soft_min(0)
    if panel.most is not None:
        built.max(panel.most)
    if len(panel.steps) > 1:
        built.thresholds_style(common.GraphThresholdsStyleConfig().mode(looks.GraphThresholdsStyleMode.DASHED))
    return built


def _bars(panel: Panel) -> _Shown:
    stacked = common.StackingConfig().mode(looks.StackingMode.NORMAL)
    return _timeseries(panel).draw_style(looks.GraphDrawStyle.BARS).fill_opacity(80).line_width(0).stacking(stacked)


def _timeseries(panel: Panel) -> timeseries.Panel:
    legend = common.VizLegendOptions().display_mode(looks.LegendDisplayMode.LIST)
    legend.placement(looks.LegendPlacement.BOTTOM).show_legend(True)
    tooltip = common.VizTooltipOptions().mode(looks.TooltipDisplayMode.MULTI).sort(looks.SortOrder.DESCENDING)
    return timeseries.Panel().legend(legend).tooltip(tooltip)


def _heatmap(panel: Panel) -> _Shown:
    return heatmap.Panel().calculate(False)


def _traces(panel: Panel) -> _Shown:
    return table.Panel()


def _table(panel: Panel) -> _Shown:
    """The queries' rows put side by side, columns named, and the loop's name a link."""
    built = table.Panel().cell_height(looks.TableCellHeight.SM)
    built.with_transformation(models.DataTransformerConfig(id_val="merge", options={}))
    values = {
        f"Value #{chr(ord('A') + n)}" if len(panel.queries) > 1 else "Value": q for n, q in enumerate(panel.queries)
    }
    order = [*(name for name, _ in panel.labels), *values]
    options = {
        "excludeByName": {"Time": True},
        "indexByName": {name: number for number, name in enumerate(order)},
        "renameByName": {**dict(panel.labels), **{value: query.legend for value, query in values.items()}},
    }
    built.with_transformation(models.DataTransformerConfig(id_val="organize", options=options))
    for query in panel.queries:
        built.override_by_name(query.legend, _column(query, panel))
    if panel.detail:
        built.override_by_name("loop", [models.DynamicConfigValue("links", [_to_detail()])])
    return built


def _column(query: Query, panel: Panel) -> list[models.DynamicConfigValue]:
    properties = [models.DynamicConfigValue("unit", query.unit or panel.unit)]
    if query.steps:
        steps = [{"value": value, "color": color} for value, color in query.steps]
        properties.append(models.DynamicConfigValue("thresholds", {"mode": "absolute", "steps": steps}))
        properties.append(models.DynamicConfigValue("custom.cellOptions", {"type": "color-text"}))
    return properties


def _to_detail() -> dict[str, str]:
    """From a loop's name to its page, at the same time and with the same data source; its row has a column `job`."""
    chosen = "${__url_time_range}&${datasource:queryparam}&var-job=${__data.fields.job:percentencode}"
    return {"title": "This loop in detail", "url": f"/d/ralph-loop?{chosen}&var-loop=${{__value.raw:percentencode}}"}


_BUILDERS: dict[Kind, Callable[[Panel], _Shown]] = {
    Kind.STAT: _stat,
    Kind.LINES: _lines,
    Kind.BARS: _bars,
    Kind.TABLE: _table,
    Kind.HEATMAP: _heatmap,
    Kind.TRACES: _traces,
}
