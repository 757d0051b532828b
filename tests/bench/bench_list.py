#!/usr/bin/env python3
"""What it costs to show only what may be seen: `hawser ls` on a large fleet, for an administrator and
for users whose policy looks at tags."""

import os
import sqlite3
import sys
import time

import fleet
import measure

TITLE = "list: all nodes of a fleet, filtered by a policy on tags and not"

POLICY = """{"Version": "2012-10-17", "Statement": {
  "Effect": "Allow", "Action": "ssm:DescribeInstanceInformation", "Resource": "*",
  "Condition": {"StringEquals": {"ssm:resourceTag/%s": "%s"}}}}"""
POLICIES = {"team": ("Team", "${aws:PrincipalTag/Team}"), "env": ("Env", "prod")}

NODE = ("INSERT INTO node (id, name, serial, serial_before, activation_id, iam_role, registered,"
        " seen, agent_version, computer_name, ip_address, ip_addresses, platform_name,"
        " platform_version, kernel, architecture)"
        " VALUES (?, ?, '00', '', '', '', 1, 1, '0.1.0', ?, '192.0.2.1', '192.0.2.1', 'debian',"
        " '12', '6.1', 'x86_64')")


def fill(path, n):
    """Nodes as if they had joined: half of them of the team blue, the others red; all of all."""
    ids = [f"mi-{i:017x}" for i in range(n)]
    with sqlite3.connect(path) as db:
        db.executemany("INSERT INTO node_id (id, removed) VALUES (?, 0)", [(i,) for i in ids])
        db.executemany(NODE, [(i, f"node-{k:05}", f"node-{k:05}") for k, i in enumerate(ids)])
        db.executemany("INSERT INTO node_tag (owner, name, content) VALUES (?, ?, ?)",
                       [(i, key, value) for k, i in enumerate(ids) for key, value in
                        (("Team", "blue" if k % 2 else "red"), ("Env", "prod"), ("Role", "web"))])
    db.close()


def put_policies(ours, daemons):
    for name, condition in POLICIES.items():
        path = os.path.join(daemons.folder, name + ".json")
        fleet.write_file(path, POLICY % condition)
        fleet.run(ours.hawser("policy", "put", name, path))


def user(ours, daemons, name, team, policy="team"):
    home = os.path.join(daemons.folder, name)
    hawser = [ours.program("hawser"), "--home", home]
    said = fleet.run(ours.hawser("user", "add", name, "--tag", f"Team={team}", "--policy", policy))
    fleet.run([*hawser, "login", *said.split()])
    return hawser


def bench(args):
    with fleet.folder() as daemons:
        ours = fleet.Fleet(daemons, nodes=0)
        daemons.stop(ours.relay)
        fill(ours.path("relay/relay.db"), args.nodes)
        ours.start_relay()
        put_policies(ours, daemons)
        ways = {"unfiltered": ours.hawser(), "all": user(ours, daemons, "bob", "red", "env"),
                "half": user(ours, daemons, "ann", "blue"),
                "none": user(ours, daemons, "eve", "green")}
        shown = {"unfiltered": args.nodes, "all": args.nodes, "half": args.nodes // 2, "none": 0}
        took = {way: [] for way in ways}
        used = {way: [] for way in ways}
        for i in range(args.runs + 1):
            for way, hawser in ways.items():
                before, begin = measure.cpu(ours.relay.pid), time.perf_counter()
                names = fleet.run([*hawser, "ls", "-o", "name"]).split()
                if len(names) != shown[way]:
                    raise fleet.Failure(f"{way}: {len(names)} nodes, not {shown[way]}")
                if i > 0:
                    took[way].append((time.perf_counter() - begin) * 1000)
                    used[way].append((measure.cpu(ours.relay.pid) - before) * 1000)
    median = {way: measure.median(ms) for way, ms in took.items()}
    cpu = {way: measure.median(ms) for way, ms in used.items()}
    return [
        measure.Figure(f"all of {args.nodes} nodes by a tag", "ms", median["all"],
                       median["unfiltered"], "unfiltered", must=3, details={"samples": took["all"]}),
        measure.Figure("half of them", "ms", median["half"], median["unfiltered"], "unfiltered",
                       must=3),
        measure.Figure("none of them", "ms", median["none"], median["unfiltered"], "unfiltered",
                       must=3),
        measure.Figure("all of them, relay's CPU", "ms", cpu["all"], cpu["unfiltered"],
                       "unfiltered"),
    ]


def options(parser):
    parser.add_argument("--nodes", type=int, default=10000)
    parser.add_argument("--runs", type=int, default=5)


if __name__ == "__main__":
    sys.exit(measure.main(TITLE, bench, options))
