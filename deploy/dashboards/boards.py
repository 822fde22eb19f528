"""The dashboards: cluster, teams, gangs, devices. Together they show every metric that there is."""

from __future__ import annotations

from typing import Final

from deploy.dashboards.panels import Dashboard, Panel, Query, Row, Variable, gauge, one, quantiles, rate

_TEAM: Final = 'team=~"$team"'

CLUSTER: Final = Dashboard(
    name="cluster",
    title="Stowplan / Cluster",
    says="Does it lead, does it see, does it place?",
    rows=(
        Row(
            title="Now",
            panels=(
                Panel(
                    title="Leaders",
                    says="One. None: nothing is placed. Two: a former one has not noticed, and is fenced.",
                    queries=one("sum(stowplan_leading)"),
                    kind="number",
                ),
                Panel(
                    title="Term",
                    says="The leader's epoch; it grows by one with each change of leader.",
                    queries=one("max(stowplan_epoch)"),
                    kind="number",
                ),
                Panel(
                    title="Gangs waiting",
                    says="Left waiting by the last plan, whatever the reason.",
                    queries=one("sum(max by (reason) (stowplan_gangs_pending))"),
                    kind="number",
                ),
                Panel(
                    title="Devices free",
                    says="Devices that agents report and no pod holds.",
                    queries=one('max(stowplan_devices{use="free"})'),
                    kind="number",
                ),
            ),
        ),
        Row(
            title="Acting",
            panels=(
                Panel(
                    title="Bindings",
                    says="refused is an answer; unknown was read back before anything else.",
                    queries=rate("stowplan_binds_total", "outcome"),
                    unit="ops",
                ),
                Panel(
                    title="Evictions",
                    says="For another team's share, a sick device, or a gang that stayed partly bound.",
                    queries=rate("stowplan_evictions_total", "outcome"),
                    unit="ops",
                ),
                Panel(
                    title="Conditions and Events",
                    says="What pods are told. dropped: more is to be said than the API server takes.",
                    queries=rate("stowplan_announcements_total", "outcome"),
                    unit="ops",
                ),
                Panel(
                    title="Not yet told",
                    says="Conditions and Events in the queue.",
                    queries=one("max(stowplan_announcements_queued)"),
                ),
            ),
        ),
        Row(
            title="Planning",
            panels=(
                Panel(
                    title="Time of a plan",
                    says="Over 5 s for long: lower policy.solver.",
                    queries=quantiles("stowplan_plan_seconds", 0.5, 0.99),
                    unit="s",
                ),
                Panel(
                    title="Time of a snapshot",
                    says="Grows with what changed, not with what exists.",
                    queries=quantiles("stowplan_snapshot_seconds", 0.5, 0.99),
                    unit="s",
                ),
                Panel(
                    title="Cycles",
                    says="Plans made a second.",
                    queries=rate("stowplan_cycles_total", ""),
                    unit="ops",
                ),
                Panel(
                    title="What plans proved",
                    says="Gangs by the proof behind their answer.",
                    queries=rate("stowplan_plan_answers_total", "answer"),
                    unit="ops",
                    kind="stack",
                ),
            ),
        ),
        Row(
            title="Seeing",
            panels=(
                Panel(
                    title="Age of views",
                    says="Since a view was last known to be current. Old views stop the loop.",
                    queries=gauge("stowplan_watch_age_seconds", "resource"),
                    unit="s",
                ),
                Panel(
                    title="Objects in view",
                    says="As the leader and its standbys hold them.",
                    queries=gauge("stowplan_watch_objects", "resource"),
                ),
                Panel(
                    title="Watch events",
                    says="By type, over all resources.",
                    queries=rate("stowplan_watch_events_total", "type"),
                    unit="ops",
                ),
                Panel(
                    title="Watches that broke, lists read",
                    says="A break is resumed; a list is read anew where the server forgot.",
                    queries=(
                        *rate("stowplan_watch_breaks_total", "", "breaks"),
                        *rate("stowplan_watch_lists_total", "", "lists"),
                    ),
                    unit="ops",
                ),
                Panel(
                    title="Odd objects, late events",
                    says="Objects that break their type, and events older than the view.",
                    queries=(
                        *rate("stowplan_watch_undecodable_total", "resource", "odd {{resource}}"),
                        *rate("stowplan_watch_stale_events_total", "resource", "late {{resource}}"),
                    ),
                    unit="ops",
                ),
            ),
        ),
    ),
)


def _team(what: str) -> Query:
    return Query(
        expression=f'max by (team) (stowplan_team_gpus{{{_TEAM},what="{what}"}})',
        legend=f"{{{{team}}}} {what}",
    )


TEAMS: Final = Dashboard(
    name="teams",
    title="Stowplan / Teams",
    says="Who has what, who is owed what. All in GPUs of the model that counts 1.",
    variables=(Variable(name="team", metric="stowplan_team_gpus", label="team"),),
    rows=(
        Row(
            title="Shares",
            panels=(
                Panel(
                    title="In use",
                    says="With everything below the team.",
                    queries=(_team("used"),),
                    kind="stack",
                ),
                Panel(
                    title="Due and guaranteed",
                    says="Due is what fair shares give a team for what it asks now.",
                    queries=(_team("due"), _team("guaranteed")),
                ),
                Panel(
                    title="In use, of what is due",
                    says="Over 100 % is borrowed and goes back when somebody who is owed it asks.",
                    queries=one(
                        f'max by (team) (stowplan_team_gpus{{{_TEAM},what="used"}})'
                        f' / (max by (team) (stowplan_team_gpus{{{_TEAM},what="due"}}) > 0)',
                        "{{team}}",
                    ),
                    unit="percentunit",
                ),
            ),
        ),
        Row(
            title="Borrowing",
            panels=(
                Panel(
                    title="Borrowed and lent",
                    says="Borrowed: above the guarantee. Lent: guaranteed, idle and in use by others.",
                    queries=(_team("borrowed"), _team("lent")),
                ),
                Panel(
                    title="Waiting",
                    says="What pending pods of the team ask for.",
                    queries=(_team("pending"),),
                    kind="stack",
                ),
            ),
        ),
    ),
)

GANGS: Final = Dashboard(
    name="gangs",
    title="Stowplan / Gangs",
    says="How long gangs wait, and why. One gang by name: `stowplan why GANG`, or the Gang object.",
    rows=(
        Row(
            title="Waiting",
            panels=(
                Panel(
                    title="Waiting, by reason",
                    says="docs/reference/reasons.md says what each one means.",
                    queries=gauge("stowplan_gangs_pending", "reason"),
                    kind="stack",
                ),
                Panel(
                    title="Wait until bound whole",
                    says="From the creation of the first pod to the last Binding; single pods count too.",
                    queries=quantiles("stowplan_gang_wait_seconds", 0.5, 0.9, 0.99),
                    unit="s",
                ),
                Panel(
                    title="Bound whole",
                    says="Gangs a second.",
                    queries=rate("stowplan_gang_wait_seconds_count", ""),
                    unit="ops",
                ),
                Panel(
                    title="Bound within a minute",
                    says="The share of gangs that waited at most 60 s.",
                    queries=one(
                        'sum(rate(stowplan_gang_wait_seconds_bucket{le="60.0"}[$__rate_interval]))'
                        " / sum(rate(stowplan_gang_wait_seconds_count[$__rate_interval]))"
                    ),
                    unit="percentunit",
                ),
            ),
        ),
        Row(
            title="Taken back",
            panels=(
                Panel(
                    title="Evicted",
                    says="Members evicted; a gang goes as a whole.",
                    queries=rate('stowplan_evictions_total{outcome=~"evicted|refused"}', "outcome"),
                    unit="ops",
                ),
                Panel(
                    title="Replaced",
                    says="Gangs replaced because a device under them turned fatal.",
                    queries=rate("stowplan_gang_replacements_total", ""),
                    unit="ops",
                ),
            ),
        ),
    ),
)

DEVICES: Final = Dashboard(
    name="devices",
    title="Stowplan / Device health",
    says="What NVML says, node by node, and what follows from it.",
    rows=(
        Row(
            title="Devices",
            panels=(
                Panel(
                    title="By use",
                    says="As the scheduler counts them: out is sick, old is a report too old to trust.",
                    queries=gauge("stowplan_devices", "use"),
                    kind="stack",
                ),
                Panel(
                    title="By health",
                    says="As the agents report them.",
                    queries=one("sum by (state) (stowplan_agent_devices)", "{{state}}"),
                    kind="stack",
                ),
                Panel(
                    title="Usable",
                    says="Devices that new pods may be given.",
                    queries=one("sum(stowplan_agent_devices_usable)"),
                    kind="number",
                ),
                Panel(
                    title="Nodes with devices out",
                    says="How many, by node; `stowplan gpus NODE` names each with what clears it.",
                    queries=one(
                        'sum by (instance) (stowplan_agent_devices{state=~"Quarantined|Fatal"})',
                        "{{instance}}",
                    ),
                ),
            ),
        ),
        Row(
            title="Nodes",
            panels=(
                Panel(
                    title="Nodes, by state",
                    says="Only Ready nodes get pods that ask for devices.",
                    queries=one("sum by (state) (stowplan_agent_node_state)", "{{state}}"),
                    kind="stack",
                ),
                Panel(
                    title="Cordoned",
                    says="Nodes that stowplan cordoned for outages again and again.",
                    queries=one("max(stowplan_nodes_cordoned)"),
                    kind="number",
                ),
                Panel(
                    title="Cordons written",
                    says="cordon, lift and forgive; a failed one is tried again.",
                    queries=rate("stowplan_node_cordons_total", "move"),
                    unit="ops",
                ),
                Panel(
                    title="Pods on other devices than named",
                    says="By the kubelet's word or by processes, which decide; annotations are wishes.",
                    queries=one("max(stowplan_device_differences)"),
                    kind="number",
                ),
                Panel(
                    title="Labels that disagree with NVML",
                    says="Nodes; an Event on each says what the label and the device call themselves.",
                    queries=one("max(stowplan_inventory_disagreements)"),
                    kind="number",
                ),
            ),
        ),
        Row(
            title="Agents",
            panels=(
                Panel(
                    title="NVML events",
                    says="By severity.",
                    queries=rate("stowplan_agent_events_total", "severity"),
                    unit="ops",
                ),
                Panel(
                    title="Time of a probe",
                    says="A probe that takes seconds is a driver in trouble.",
                    queries=quantiles("stowplan_agent_probe_seconds", 0.5, 0.99),
                    unit="s",
                ),
                Panel(
                    title="Writes, and those that failed",
                    says="A node whose agent cannot write gets no new pods after 30 s.",
                    queries=(
                        *rate("stowplan_agent_writes_total", "", "writes"),
                        *rate("stowplan_agent_write_failures_total", "", "failures"),
                    ),
                    unit="ops",
                ),
            ),
        ),
    ),
)

DASHBOARDS: Final = (CLUSTER, TEAMS, GANGS, DEVICES)
