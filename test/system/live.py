"""Keys that take effect while the agent runs: triggers, degrade.*, retention.* and limits of alerts. Triggers that say
the same as before go on with what they have seen; changed ones end and begin anew; a mistake in one of them
refuses the whole reload.
"""
import json
import subprocess
import time

import bp
import care
from say import Receiver, Say, number

DOMAIN = 147
LEVEL = "/level.data > 5"


def row(name, when, *do, **more):
    return {"name": name, "when": when, "do": list(do) or ["mark"], **more}


class Site:
    def __init__(self, folder):
        self.zone = folder / "host/sys/class/thermal/thermal_zone0"
        self.zone.mkdir(parents=True)
        (self.zone / "type").write_text("cpu-thermal\n")
        (self.zone / "temp").write_text("85000\n")
        self.config = folder / "agent.yaml"
        self.agent = care.Agent(folder, DOMAIN, env={"BAGPIPE_TEST_HOST_ROOT": str(folder / "host")},
                                config=self.config, content=self.text([]))

    def text(self, triggers, **more):
        return json.dumps({"triggers": triggers, **more})  # which is YAML

    def reload(self, triggers, expect=200, **more):
        self.config.write_text(self.text(triggers, **more))
        return self.agent.http("POST", "/api/v1/config/reload", {}, expect)

    def state(self, name):
        return self.agent.ask(f"/api/v1/triggers/{name}")

    def alerts(self):
        return {key.split("/")[0] for key in self.agent.alerts()}  # without the robot's name

    def names(self):
        return [t["name"] for t in self.agent.ask("/api/v1/triggers")["triggers"]]


def triggers(site, say):
    agent = site.agent
    bp.check(site.names() == [], "no trigger yet")
    hook = Receiver()
    a = row("a", LEVEL, "alert", f"webhook {hook.url}")
    b = row("b", LEVEL, "alert", on_clear=[f"webhook {hook.url}"])
    report = site.reload([a, b, row("wrong", "/level.dta > 1")])
    bp.check(report == {"changed": ["triggers"], "restart": []}, f"they are live: {report}")
    say.heard("/level")
    say.write("/level", number(9))
    for name in "ab":
        bp.until(lambda: site.state(name)["state"] == "active", 15, f"{name} to fire")
    bp.until(lambda: {"trigger.a", "trigger.b", "trigger-broken.wrong"} <= site.alerts(), 10, f"{site.alerts()}")
    agent.tell("/api/v1/triggers/a", {"enabled": True})

    # the same but for its place: it goes on. Another condition: it ends, and what it did is undone.
    site.reload([row("new", "/level.data > 100"), dict(reversed(list(a.items()))), {**b, "when": "/level.data > 50"}])
    bp.check(site.names() == ["new", "a", "b"], f"in the order of the file: {site.names()}")
    bp.check(site.state("a")["state"] == "active" and site.state("a")["fired"] == 1, f"a goes on: {site.state('a')}")
    bp.until(lambda: site.alerts() == {"trigger.a"}, 10, f"what is gone is over: {site.alerts()}")
    bp.until(lambda: len(hook.got) == 2, 10, f"on_clear of the one that went: {hook.got}")
    bp.check(sorted((x[1]["trigger"], x[1]["event"]) for x in hook.got) == [("a", "fired"), ("b", "cleared")], f"{hook.got}")
    bp.check(site.state("b")["fired"] == 1, "counts of a changed one go on")
    bp.until(lambda: site.state("b")["state"] == "idle", 10, f"b begins anew: {site.state('b')}")
    say.write("/level", number(60))
    bp.until(lambda: site.state("b")["state"] == "active", 10, "b to fire by its new condition")
    bp.check(site.state("b")["fired"] == 2 and site.state("a")["fired"] == 1, "b fired again, a did not")

    level = agent.ask("/api/v1/config")["keys"]["log.level"]["value"]
    problem = site.reload([a, row("bad", "/level.data >")], 400, log={"level": "error"})
    bp.check("trigger 'bad': when" in problem["detail"], f"a bad one: {problem}")
    bp.check(site.names() == ["new", "a", "b"] and site.state("b")["state"] == "active", "nothing has changed")
    bp.check(agent.ask("/api/v1/config")["keys"]["log.level"]["value"] == level, "nor has anything else")
    agent.http("PATCH", "/api/v1/config", {"triggers": [{"name": "p", "when": LEVEL, "do": "mark", "enabled": False}]})
    bp.check(site.names() == ["p"] and site.state("p")["state"] == "disabled", f"by PATCH: {site.state('p')}")
    agent.http("PATCH", "/api/v1/config", {"triggers": [{"name": "p", "when": "nonsense("}]}, 400)
    agent.http("PATCH", "/api/v1/config", {"triggers": None})
    bp.check(site.names() == ["new", "a", "b"], f"taken back, what was loaded last is back: {site.names()}")


def secrets(site, say):
    """Where a webhook goes and what it shows come out of the vault when it goes out, and are seen nowhere else."""
    agent, hook = site.agent, Receiver()
    where = ("--set", f"storage.dir={agent.data}")

    def put(name, value):
        r = subprocess.run([bp.BAGPIPE, "secret", "set", name, *where], input=value, capture_output=True, text=True)
        bp.check(r.returncode == 0, f"secret set: {r.stderr}")

    put("hook", f"http://user:tulip@127.0.0.1:{hook.server.server_port}/orchid?t=lily")
    put("token", "daffodil")
    do = f"webhook secret:hook bearer=secret:token header:X-Site=hall-rose"
    plain = f"webhook http://127.0.0.1:{hook.server.server_port}/violet?a=b header:X-Key=peony"
    site.reload([row("s", "external(\"s\")", do, plain), row("none", "external(\"none\")", "webhook secret:missing")])

    def fire(name, n):
        bp.until(lambda: site.state(name)["state"] == "idle", 10, f"{name} to be ready")
        agent.tell(f"/api/v1/triggers/{name}/fire")
        bp.until(lambda: len(hook.got) >= n, 15, f"{n} webhooks: {hook.got}")

    fire("s", 2)
    by = {path: headers for path, _, headers in hook.got}
    bp.check(set(by) == {"/orchid?t=lily", "/violet?a=b"}, f"both went out: {by}")
    bp.check(by["/orchid?t=lily"].get("Authorization") == "Bearer daffodil", f"its token: {by}")
    bp.check(by["/orchid?t=lily"].get("X-Site") == "hall-rose" and by["/violet?a=b"].get("X-Key") == "peony", f"{by}")
    put("token", "crocus")
    fire("s", 4)
    last = [h for p, _, h in hook.got[2:] if p.startswith("/orchid")]
    bp.check([h.get("Authorization") for h in last] == ["Bearer crocus"], f"what has changed counts at once: {last}")
    fire("none", 0)
    bp.until(lambda: "no secret" in agent.p.text() or "missing" in agent.p.text(), 15, "one that is not there is told")
    shown = json.dumps(agent.ask("/api/v1/config")["keys"]["triggers"]["value"])
    bp.check("webhook secret:hook bearer=secret:token header:X-Site=********" in shown, f"references are shown: {shown}")
    bp.check(f"webhook http://127.0.0.1:{hook.server.server_port}/" in shown, f"so is the host: {shown}")
    everything = agent.p.text() + shown + json.dumps(agent.ask("/api/v1/triggers")) + agent.ask("/metrics") + \
        json.dumps(agent.ask("/api/v1/logs")) + bp.bagpipe("config", "show", "--config", site.config)[1]
    for word in ("tulip", "orchid", "lily", "daffodil", "crocus", "violet", "peony", "hall-rose"):
        bp.check(word not in everything, f"'{word}' is seen: {everything[max(everything.find(word) - 80, 0):][:200]}")


def storm(site, say):
    """Changed over and over while messages come: none is lost to a trigger that stays, nothing leaks."""
    stays = row("stays", "/level.data > 5")
    site.reload([stays])
    bp.until(lambda: site.state("stays")["state"] != "waiting", 15, "it is bound")
    say.write("/level", number(0))
    bp.until(lambda: site.state("stays")["instances"][0]["condition"] == "false", 10, "it has seen one")
    before = site.state("stays")["fired"]
    n = bp.amount(60, 600)
    for i in range(n):
        site.reload([stays] + [row(f"t{k}", f"/level.data > {i + k}", "mark") for k in range(i % 7)],
                    session={"mark_topic": f"/marks{i % 3}"})
        say.write("/level", number(9))
        say.write("/level", number(0))
    bp.until(lambda: site.state("stays")["fired"] == before + n, 20,
             f"each of {n} counted: {site.state('stays')['fired'] - before}")
    site.reload([])


def limits(site):
    """Degrading, alerts and retention by new limits, without a restart."""
    agent = site.agent
    degraded = lambda: [d["step"] for d in agent.ask("/api/v1/status")["degraded"]]
    bp.check(degraded() == [], "85 degrees are no reason")
    agent.http("PATCH", "/api/v1/config", {"degrade.temperature.enter": 80, "degrade.hold": "0s", "degrade.most": "no_low"})
    bp.until(lambda: degraded() == ["no_low"], 20, "80 are one")
    bp.check("degraded.temperature" in agent.alerts(), f"and an alert: {agent.alerts()}")
    agent.http("PATCH", "/api/v1/config", {"degrade.most": "thin_low"})
    bp.until(lambda: degraded() == ["thin_low"], 10, "no further than now allowed")
    agent.http("PATCH", "/api/v1/config", {"degrade.temperature.enter": 0})
    bp.until(lambda: degraded() == [] and "degraded.temperature" not in agent.alerts(), 10, "switched off")
    agent.http("PATCH", "/api/v1/config", {"storage.alert_free": "900TiB"})
    bp.until(lambda: "disk.low" in agent.alerts(), 10, f"an alert about space: {agent.alerts()}")
    agent.http("PATCH", "/api/v1/config", {"storage.alert_free": None})
    agent.tell("/api/v1/sessions", {"name": "old"}, 201)
    time.sleep(1)
    agent.tell("/api/v1/sessions/old/stop")
    limits = {"retention": {"max_age": "1s", "delete_not_uploaded": True}}
    time.sleep(1)
    agent.http("PATCH", "/api/v1/config", limits)
    bp.until(lambda: not (agent.data / "old").exists(), 20, "an old session to go, long before the next look")
    agent.http("PATCH", "/api/v1/config", {"retention": {"max_age": None, "delete_not_uploaded": None}})
    bp.check(agent.ask("/api/v1/storage")["limits"]["max_age_s"] is None, "and the limit is gone again")


def test():
    site = Site(bp.scratch())
    say = Say(DOMAIN)
    say.open("/level", "std_msgs/msg/Float64")
    triggers(site, say)
    secrets(site, say)
    storm(site, say)
    limits(site)
    site.agent.stop()
    say.end()


if __name__ == "__main__":
    bp.own_network()
    bp.main(test)
