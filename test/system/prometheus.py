"""Prometheus and Grafana: a real Prometheus scrapes the agents of the demo, as `./run demo` starts them; every query of the dashboard and of
the rules is one that returns data, the rules pass promtool's unit tests, the dashboard has Grafana's types, and
every metric family is used by a panel or a rule, or its help names the question it answers.
"""
import json
import os
import re
import signal
import subprocess
import time
import urllib.parse
import urllib.request

import bp

RULES = bp.REPO / "deploy/prometheus/bagpipe.rules.yml"
DASHBOARD = bp.REPO / "deploy/grafana/bagpipe-agent.json"
CONFIG = """
global: {{ scrape_interval: 1s, evaluation_interval: 1s }}
rule_files: [{rules}]
scrape_configs:
  - job_name: bagpipe
    static_configs: [{{ targets: ["{target}"] }}]
"""
# what one machine has and another has not
HARDWARE = {"bagpipe_host_temperature_celsius", "bagpipe_host_battery_ratio", "bagpipe_host_external_power",
            "bagpipe_host_disk_busy_ratio", "bagpipe_host_disk_written_sectors_total",
            "bagpipe_host_disk_read_sectors_total"}
NAME = re.compile(r"\b(?:bagpipe|process)_[a-z0-9_]+")


def families(page):
    """{family: its help}"""
    return dict(re.findall(r"^# HELP (\S+) (.*)$", page, re.M))


def family_of(name, known):
    for end in ("", "_bucket", "_sum", "_count"):
        if name.endswith(end) and name[:len(name) - len(end)] in known:
            return name[:len(name) - len(end)]
    return None


def dashboard_queries():
    panels = json.loads(DASHBOARD.read_text())["panels"]
    return [(p["title"], t["expr"].replace("$instance", ".+").replace("$__rate_interval", "10s"))
            for p in panels for t in p.get("targets", [])]


def rule_queries():
    import yaml

    return [(r["alert"], r["expr"]) for g in yaml.safe_load(RULES.read_text())["groups"] for r in g["rules"]]


def selectors(expr):
    """The series a condition stands on: without data there an alert could never fire."""
    return re.findall(r"(?:bagpipe|process)_[a-z0-9_]+(?:\{[^}]*\})?|up\{[^}]*\}", expr)


def types_of(folder):
    """The dashboard as a value of Grafana's type, by the TypeScript compiler."""
    npm = bp.BUILD / "npm"
    if not (npm / "node_modules/@grafana/grafana-foundation-sdk").exists():
        bp.skip(f"no @grafana/grafana-foundation-sdk in {npm} (./run makes it)")
    d = json.loads(DASHBOARD.read_text())
    targets = [t for p in d["panels"] for t in p.get("targets", [])]

    def compile_it(board):
        for p in board["panels"]:
            if "targets" in p:
                p["targets"] = []
        work = folder / "types"
        work.mkdir(exist_ok=True)
        link = work / "node_modules"
        if not link.exists():
            link.symlink_to(npm / "node_modules")
        (work / "package.json").write_text('{"type": "module"}')
        text = json.dumps(board)
        for v in board["templating"]["list"]:  # enumerations have no literals in TypeScript
            text = text.replace(f'"type": "{v["type"]}", "', f'"type": VariableType.{v["type"].title()}, "')
        (work / "d.ts").write_text(
            "import {VariableType} from '@grafana/grafana-foundation-sdk/dashboard';\n"
            "import type {Dashboard} from '@grafana/grafana-foundation-sdk/dashboard';\n"
            "import type {Dataquery} from '@grafana/grafana-foundation-sdk/prometheus';\n"
            "type Q = Omit<Dataquery, '_implementsDataqueryVariant'>;\n"
            f"export const d: Dashboard = {text};\nexport const q: Q[] = {json.dumps(targets)};\n")
        r = subprocess.run([str(npm / "node_modules/.bin/tsc"), "--noEmit", "--strict", "--skipLibCheck", "--module",
                            "nodenext", "--moduleResolution", "nodenext", "--target", "es2022", "d.ts"], cwd=work,
                           capture_output=True, text=True)
        return r.returncode, r.stdout

    status, out = compile_it(json.loads(json.dumps(d)))
    bp.check(status == 0, f"the dashboard's types: {out[:800]}")
    d["panels"][1]["title"] = 7
    status, out = compile_it(d)
    bp.check(status != 0, "a wrong type is found")


def promtool(folder, page):
    for args in (("check", "rules", RULES), ("test", "rules", RULES.parent / "bagpipe.rules.test.yml"),
                 ("check", "config", RULES.parent / "prometheus.yml")):
        bp.run(["promtool", *args])
    r = subprocess.run(["promtool", "check", "metrics"], input=page, capture_output=True, text=True)
    bp.check(r.returncode == 0 and not r.stderr.strip(), f"promtool check metrics: {r.stdout} {r.stderr}")


def used(page):
    """No family without a reader, no query of a family that is not there."""
    known = families(page)
    asked = {}
    for title, expr in dashboard_queries() + rule_queries():
        for name in NAME.findall(expr):
            asked.setdefault(family_of(name, known) or name, title)
    for name in sorted(set(asked) - set(known) - HARDWARE):
        bp.fail(f"'{asked[name]}' asks for {name}, which is no family")
    for name, text in known.items():
        bp.check(name in asked or "?" in text, f"{name}: no panel, no rule, and its help names no question: {text}")
    bp.say(f"{len(known)} families, {len(set(asked) & set(known))} of them in panels and rules")


class Prometheus:
    def __init__(self, folder, target):
        config = folder / "prometheus.yml"
        config.write_text(CONFIG.format(rules=RULES, target=target))
        self.log = folder / "prometheus.log"
        for _ in range(3):
            self.port = 20000 + os.getpid() % 20000 + _ * 7
            self.p = bp.Proc(["prometheus", f"--config.file={config}", f"--storage.tsdb.path={folder}/tsdb",
                              f"--web.listen-address=127.0.0.1:{self.port}"], log=self.log)
            try:
                bp.until(lambda: "Server is ready" in self.p.text() or not self.p.alive(), 20, "Prometheus")
            except TimeoutError:
                continue
            if self.p.alive():
                return
        bp.fail(f"Prometheus does not start: {self.p.text()[-400:]}")

    def get(self, path, **query):
        url = f"http://127.0.0.1:{self.port}/api/v1/{path}?{urllib.parse.urlencode(query)}"
        with urllib.request.urlopen(url, timeout=20) as r:
            return json.load(r)["data"]

    def query(self, expr):
        return self.get("query", query=expr)["result"]


def absent(expr, page):
    """Everything it asks for is hardware that this machine lacks."""
    names = set(NAME.findall(expr))
    return bool(names) and all(n in HARDWARE and not re.search(rf"^{n}[{{ ]", page, re.M) for n in names)


def judged(prometheus, page):
    n = 0
    for title, expr in dashboard_queries():
        if absent(expr, page):
            bp.say(f"'{title}': no such hardware here: {expr}")
            continue
        bp.check(prometheus.query(expr), f"'{title}' has no data: {expr}")
        n += 1
    for alert, expr in rule_queries():
        for part in selectors(expr):
            bp.check(prometheus.query(part), f"{alert} stands on nothing: {part}")
            n += 1
    bp.say(f"{n} queries have data")
    rules = [r for g in prometheus.get("rules")["groups"] for r in g["rules"]]
    for r in rules:
        bp.check(r["health"] == "ok", f"{r['name']}: {r.get('lastError')}")
        bp.check(r["state"] != "firing", f"{r['name']} fires on an agent that is well: {r['alerts']}")
    bp.check(len(rules) == len(rule_queries()), f"all rules were judged: {len(rules)}")


class Demo:
    """`./run demo` as anybody starts it: two robots, an agent each; `targets` is where these listen."""

    def __init__(self):
        runs = bp.BUILD / "demo"
        before = set(runs.glob("*"))
        self.p = bp.Proc(["bash", bp.REPO / "test" / "demo.sh", "120"])
        self.logs = []
        bp.until(lambda: self.listening(set(runs.glob("*")) - before) or not self.p.alive(), 60, "both agents", step=0.2)
        bp.check(self.p.alive(), f"the demo runs: {self.p.text()[-400:]}")
        self.targets = [re.search(r'agent is ready.*?"http":"([^"]+)"', log.read_text())[1] for log in self.logs]

    def listening(self, folders):
        self.logs = [log for f in folders for log in sorted(f.glob("robot?.log")) if "agent is ready" in log.read_text()]
        return len(self.logs) == 2

    def ask(self, path):
        pages = []
        for t in self.targets:
            with urllib.request.urlopen(f"http://{t}{path}", timeout=20) as r:
                pages.append(r.read().decode())
        return pages

    def stop(self):
        self.p.send(signal.SIGTERM)  # it ends what it has started
        self.p.wait(30)


def test():
    bp.need("prometheus", "promtool")
    folder = bp.scratch()
    demo = Demo()
    bp.until(lambda: all(json.loads(s)["sessions"]["messages"] > 100 for s in demo.ask("/api/v1/status")), 40, "recording",
             step=0.2)
    prometheus = Prometheus(folder, '", "'.join(demo.targets))
    types_of(folder)
    bp.until(lambda: len(prometheus.query('count_over_time(bagpipe_graph_topics[1m]) > 8')) == 2, 60, "samples of both",
             step=0.5)
    time.sleep(3)
    page, other = demo.ask("/metrics")
    bp.check(families(page).keys() == families(other).keys(), "both agents have the same families")
    promtool(folder, page)
    used(page)
    judged(prometheus, page)
    demo.stop()
    bp.until(lambda: len(prometheus.query('up{job="bagpipe"} == 0')) == 2, 30, "they are seen to be down", step=0.5)


if __name__ == "__main__":
    bp.own_network()
    bp.main(test)
