"""Triggers of the agent: each kind of condition fires once when it should and not when it should not; debounce,
cool-down and hysteresis; robots told apart; marks, alerts, sessions and webhooks; errors with a caret; marks from
a topic; the examples of docs/triggers.md. Messages are made by rosbags, so what a condition sees is a foreign
encoder's.
"""
import json
import re
import signal
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

import bp
import numpy as np
from say import Receiver, Say, T, number

DOMAIN = 132
PORT = 19592
BASE = f"http://127.0.0.1:{PORT}"

CONFIG = """
triggers:
  - {{name: low, when: '/*/battery.percentage < 15% for 1s until > 20%', text: '{{robot}} {{match}} has {{value}}',
      do: [mark, alert critical, 'webhook {hook}'], on_clear: ['webhook {hook}']}}
  - {{name: ring, when: '/diag[*].level >= ERROR', do: [mark]}}
  - {{name: words, when: 'contains(/diag.status[*].message, "on fire")', do: [mark]}}
  - {{name: quiet, when: 'silent(/beat) > 1.5s', do: [mark]}}
  - {{name: rate, when: 'rate(/beat, 2s) outside 5..60', do: [mark]}}
  - {{name: old, when: 'age(/stamped) > 2s', do: [mark]}}
  - {{name: gone, when: 'node_gone("/driver")', do: [alert]}}
  - {{name: zone, when: 'inside(/gps, (48, 11), (49, 11), (49, 12), (48, 12))', do: [mark]}}
  - {{name: disk, when: 'disk.free < 1000TiB and disk.used < 110%', do: [alert info]}}
  - {{name: disk_full, when: 'disk.free < 1B', do: [alert]}}
  - {{name: hot, when: 'cpu > 200% or memory > 200% or load > 10000 or temperature > 500', do: [alert]}}
  - {{name: busy, when: 'cpu >= 0 and memory > 0', do: [mark]}}
  - {{name: stopped, when: /estop, do: [mark]}}
  - {{name: door, when: 'external("door") and /level.data > 3', do: [start_session by_door]}}
  - {{name: shut, when: 'external("shut")', do: [stop_session by_door]}}
  - {{name: cool, when: /level.data > 5, cooldown: 1min, do: [mark]}}
  - {{name: bounce, when: /bounce.data > 5, debounce: 700ms, do: [mark]}}
  - {{name: wrong, when: /estop.dta, do: [mark]}}
  - {{name: never, when: silent(/battry) > 1s, do: [mark]}}
  - {{name: refused, when: /level.data > 100, do: ['webhook {closed}', snapshot]}}
  - {{name: off, enabled: no, when: /level.data > 1, do: [mark]}}
session:
  mark_topic: /operator/marks
"""


def stamp(at):
    return T["builtin_interfaces/msg/Time"](sec=int(at), nanosec=int(at % 1 * 1e9))


def header(at=None):
    return T["std_msgs/msg/Header"](stamp=stamp(time.time() if at is None else at), frame_id="base")


def battery(percentage):
    none = np.array([], dtype=np.float32)
    return T["sensor_msgs/msg/BatteryState"](header(), 24.0, 30.0, -1.0, 0.0, 0.0, 0.0, percentage, 2, 1, 2, True,
                                             none, none, "slot", "0815")


def diagnostics(*rows):
    status = [T["diagnostic_msgs/msg/DiagnosticStatus"](level=level, name="motor", message=text, hardware_id="",
                                                        values=[]) for level, text in rows]
    return T["diagnostic_msgs/msg/DiagnosticArray"](header(), status)


def fix(lat, lon, status=0):
    return T["sensor_msgs/msg/NavSatFix"](header(), T["sensor_msgs/msg/NavSatStatus"](status, 1), lat, lon, 500.0,
                                          np.zeros(9), 0)


def point(age):
    return T["geometry_msgs/msg/PointStamped"](header(time.time() - age), T["geometry_msgs/msg/Point"](1.0, 2.0, 3.0))


def call(method, path, body=None, expect=200):
    data = json.dumps(body).encode() if body is not None else None
    req = urllib.request.Request(BASE + path, data=data, method=method,
                                 headers={"Content-Type": "application/json"} if data else {})
    try:
        with urllib.request.urlopen(req, timeout=40) as r:
            status, text = r.status, r.read()
    except urllib.error.HTTPError as e:
        status, text = e.code, e.read()
    bp.check(status == expect, f"{method} {path}: {status}, expected {expect}: {text[:400]}")
    return json.loads(text) if text and text[:1] in b"{[" else text.decode()


def state(name):
    return call("GET", f"/api/v1/triggers/{name}")


def fired(name):
    return state(name)["fired"]


def fires(name, times, what):
    bp.until(lambda: fired(name) >= times, 15, f"{name}: {what}")
    bp.check(fired(name) == times, f"{name} fired {fired(name)} times, not {times}: {what}")


def is_over(name):
    bp.until(lambda: state(name)["state"] == "idle", 15, f"the end of {name}: {state(name)}")


class Beat(threading.Thread):
    """20 Hz on /beat until told otherwise."""

    def __init__(self, say):
        super().__init__(daemon=True)
        self.say, self.on, self.end = say, True, False

    def run(self):
        while not self.end:
            if self.on:
                self.say.write("/beat", number(1))
            time.sleep(0.05)


def open_topics(say):
    say.open("/estop", "std_msgs/msg/Bool", "latched")
    say.write("/estop", T["std_msgs/msg/Bool"](data=True))  # before the agent is there
    for name in ("a", "b"):
        say.open(f"/{name}/battery", "sensor_msgs/msg/BatteryState")
    say.open("/diag", "diagnostic_msgs/msg/DiagnosticArray")
    say.open("/beat", "std_msgs/msg/Float64", "best_effort")
    say.open("/stamped", "geometry_msgs/msg/PointStamped")
    say.open("/gps", "sensor_msgs/msg/NavSatFix")
    say.open("/level", "std_msgs/msg/Float64")
    say.open("/bounce", "std_msgs/msg/Float64")
    say.open("/driven", "std_msgs/msg/Float64", node="driver")
    say.open("/operator/marks", "std_msgs/msg/String")


def listening(say):
    for topic in ("/estop", "/a/battery", "/b/battery", "/diag", "/beat", "/stamped", "/gps", "/level", "/bounce",
                  "/operator/marks"):
        say.heard(topic)
    bp.check(int(say.ask(f"matched {say.ids['/driven'][0]}")) == 0, "what no condition needs is not subscribed to")


def low(say, hook):
    """for, until, robots told apart, alert and webhook."""
    for _ in range(3):
        say.write("/a/battery", battery(0.5))
        say.write("/b/battery", battery(0.5))
    say.write("/a/battery", battery(0.1))
    time.sleep(0.3)
    say.write("/a/battery", battery(0.5))  # too short
    time.sleep(1.2)
    bp.check(fired("low") == 0, "0.3 s are not 1 s")
    say.write("/b/battery", battery(0.1))
    fires("low", 1, "b is low for 1 s")
    each = {i["match"]: i for i in state("low")["instances"]}
    bp.check(each["a"]["state"] == "idle" and each["b"]["state"] == "active", f"robots are told apart: {each}")
    bp.check(abs(each["b"]["values"]["/*/battery.percentage"] - 0.1) < 1e-6, f"its value: {each}")
    alerts = call("GET", "/api/v1/alerts")["alerts"]
    bp.check([a["severity"] for a in alerts if a["key"] == "trigger.low/b"] == ["critical"], f"alert: {alerts}")
    acknowledge("trigger.low/b")
    say.write("/b/battery", battery(0.18))  # above 15 %, not above 20 %
    say.write("/b/battery", battery(0.1))
    time.sleep(1.5)
    bp.check(fired("low") == 1 and state("low")["state"] == "active", "between 15 % and 20 % nothing happens")
    say.write("/b/battery", battery(0.25))
    is_over("low")
    bp.until(lambda: not [a for a in call("GET", "/api/v1/alerts")["alerts"] if a["key"].startswith("trigger.low")],
             10, "the alert to be cleared")
    over = [a for a in call("GET", "/api/v1/alerts?past=1")["alerts"] if a["key"] == "trigger.low/b"]
    bp.check([a["note"] for a in over] == ["on my way"], f"who has seen it stays: {over}")
    call("POST", "/api/v1/alerts/trigger.low%2Fb/acknowledge", {}, expect=404)
    bp.until(lambda: len(hook.got) == 2, 20, f"webhooks: {hook.got}")
    (path, one, _), (_, two, _) = hook.got
    bp.check(path == "/hook?token=opensesame" and one["event"] == "fired" and two["event"] == "cleared", f"{hook.got}")
    bp.check(one["trigger"] == "low" and one["match"] == "b" and one["text"].endswith(" b has 0.1"), f"{one}")
    bp.check(hook.tries == 3, f"the refused one was sent again: {hook.tries}")


def acknowledge(key):
    path = f"/api/v1/alerts/{urllib.parse.quote(key, safe='')}/acknowledge"
    for bad in ({"note": 5}, {"note": "x" * 256}, ["x"]):
        call("POST", path, bad, expect=400)
    seen = call("POST", path, {"note": "on my way"})
    bp.check(seen["key"] == key and seen["acknowledged_by"] and seen["acknowledged_ns"], f"acknowledged: {seen}")
    mine = [a for a in call("GET", "/api/v1/alerts")["alerts"] if a["key"] == key]
    bp.check(mine == [seen], f"and told: {mine}")


def messages(say):
    """Conditions on fields: numbers, texts, any of an array, a polygon, an age, a latched one."""
    fires("stopped", 1, "latched before the agent was there")
    say.write("/diag", diagnostics((0, "fine"), (1, "warm")))
    say.write("/diag", diagnostics())
    time.sleep(0.3)
    bp.check(fired("ring") == 0 and fired("words") == 0, "no error yet")
    say.write("/diag", diagnostics((0, "fine"), (2, "it is on fire")))
    fires("ring", 1, "an error in the second row")
    fires("words", 1, "its text")
    say.write("/diag", diagnostics((2, "still hot")))
    say.write("/diag", diagnostics((0, "fine")))
    is_over("ring")
    bp.check(fired("ring") == 1 and fired("words") == 1, "it went on, it did not begin again")
    say.write("/diag", diagnostics((3, "gone")))
    fires("ring", 2, "it came back")
    for lat, lon, status in ((47.9, 11.5, 0), (48.5, 12.1, 0), (48.5, 11.5, -1)):
        say.write("/gps", fix(lat, lon, status))
    time.sleep(0.3)
    bp.check(fired("zone") == 0, "outside, and inside without a fix")
    say.write("/gps", fix(48.5, 11.5))
    fires("zone", 1, "inside")
    say.write("/stamped", point(0.5))
    time.sleep(0.3)
    bp.check(fired("old") == 0, "half a second old")
    say.write("/stamped", point(3))
    fires("old", 1, "three seconds old")


def over_time(say, beat):
    """silent, rate, node_gone, this machine."""
    bp.check(fired("quiet") == 0 and fired("rate") == 0, "the beat is there")
    bp.until(lambda: state("rate")["instances"][0]["condition"] == "false", 15, "a rate")
    value = state("rate")["instances"][0]["values"]["rate(/beat, 2s)"]
    bp.check(8 < value <= 21, f"the rate is {value}, near 20")
    beat.on = False
    fires("quiet", 1, "1.5 s of silence")
    fires("rate", 1, "0 Hz")
    beat.on = True
    is_over("quiet")
    is_over("rate")
    bp.check(fired("gone") == 0, "the driver is there")
    say.close("/driven")
    fires("gone", 1, "the driver is gone")
    say.open("/driven", "std_msgs/msg/Float64", node="driver")
    is_over("gone")
    fires("disk", 1, "a limit above what there is")
    fires("busy", 1, "the processor is at 0 % or more")
    bp.check(fired("disk_full") == 0 and fired("hot") == 0, "and not at 200 %")


def by_hand(say):
    """external() and sessions; other conditions count."""
    say.write("/level", number(1))
    time.sleep(0.3)
    bp.check(call("POST", "/api/v1/triggers/door/fire", {})["fired"] == 0, "the level is too low")
    say.write("/level", number(4))
    bp.until(lambda: state("door")["instances"][0]["values"].get("/level.data") == 4, 10, "the level")
    bp.check(call("POST", "/api/v1/triggers/door/fire", {"values": {"side": "left"}})["fired"] == 1, "the door")
    bp.until(lambda: [s for s in call("GET", "/api/v1/sessions")["sessions"] if s["name"] == "by_door"], 10, "a session")
    s = call("GET", "/api/v1/sessions/by_door")
    bp.check(s["status"] == "recording" and s["tags"] == ["trigger:door"], f"started: {s}")
    call("POST", "/api/v1/triggers/door/fire", {})
    bp.check(call("POST", "/api/v1/triggers/shut/fire", {})["fired"] == 1, "shut")
    bp.until(lambda: call("GET", "/api/v1/sessions/by_door")["status"] == "finished", 15, "its end")
    names = [s["name"] for s in call("GET", "/api/v1/sessions")["sessions"]]
    bp.check(len([n for n in names if n.startswith("by_door")]) == 1, f"one session, although fired twice: {names}")
    call("POST", "/api/v1/triggers/window/fire", {}, 404)


def timing(say):
    """Cool-down, debounce both ways, switched off and on."""
    bp.check(fired("cool") == 0, "not yet")
    say.write("/level", number(6))
    fires("cool", 1, "above 5")
    say.write("/level", number(4))
    is_over("cool")
    say.write("/level", number(6))
    bp.until(lambda: state("cool")["suppressed"] == 1, 10, "the second time falls into the cool-down")
    bp.check(fired("cool") == 1, "once")
    say.write("/bounce", number(6))
    time.sleep(0.2)
    say.write("/bounce", number(1))
    time.sleep(1)
    bp.check(fired("bounce") == 0, "0.2 s are bounced away")
    say.write("/bounce", number(6))
    fires("bounce", 1, "0.7 s are not")
    say.write("/bounce", number(1))
    time.sleep(0.2)
    say.write("/bounce", number(6))
    time.sleep(1)
    bp.check(state("bounce")["state"] == "active" and fired("bounce") == 1, "neither is its end of 0.2 s")
    say.write("/bounce", number(1))
    is_over("bounce")
    bp.check(state("off")["state"] == "disabled" and fired("off") == 0, "off is off")
    call("POST", "/api/v1/triggers/off", {"enabled": True})
    bp.until(lambda: state("off")["state"] == "idle", 10, "it is on")
    say.write("/level", number(6))
    fires("off", 1, "now it fires")
    call("POST", "/api/v1/triggers/off", {"enabled": False})
    say.write("/level", number(0))
    say.write("/level", number(6))
    time.sleep(0.3)
    bp.check(fired("off") == 1, "and off again")
    call("POST", "/api/v1/triggers/off", {}, 400)
    call("POST", "/api/v1/triggers/none", {"enabled": True}, 404)


def marks(say):
    """From triggers and from the topic, in every session that runs."""
    call("POST", "/api/v1/sessions", {"name": "first"}, 201)
    call("POST", "/api/v1/sessions", {"name": "second", "topics": ["/level"]}, 201)
    say.write("/operator/marks", T["std_msgs/msg/String"](data="hit the shelf"))
    say.write("/level", number(200))
    say.write("/diag", diagnostics((0, "fine")))
    say.write("/diag", diagnostics((2, "again")))
    for name in ("first", "second"):
        got = lambda: {m["text"]: m["values"] for m in call("GET", f"/api/v1/sessions/{name}")["marks"]}
        bp.until(lambda: len(got()) >= 2, 15, f"marks in {name}: {got()}")
        values = got()["hit the shelf"]
        bp.check(values["topic"] == "/operator/marks" and len(values["writer"]) == 32, f"{values}")
        other = [k for k in got() if k.startswith("ring: ")]
        bp.check(len(other) == 1 and got()[other[0]]["trigger"] == "ring", f"{got()}")
        call("POST", f"/api/v1/sessions/{name}/stop", {})


def errors(agent, hook):
    """Carets, nearest names, secrets, metrics, the verb."""
    s = state("wrong")
    text = s["instances"][0]["error"]
    bp.check(s["state"] == "error" and "did you mean 'data'" in text and text.endswith("\n         ^"), f"{text!r}")
    alerts = [a["text"] for a in call("GET", "/api/v1/alerts")["alerts"] if a["key"] == "trigger-broken.wrong"]
    bp.check(len(alerts) == 1 and "has no field 'dta'" in alerts[0], f"it is not silent: {alerts}")
    s = state("never")
    bp.check(s["state"] == "waiting" and fired("never") == 0, f"{s}")
    for when, word in (("/level.data >", "missing"), ("/level.data > 'x'", "number"), ("/lvel.data > 1", "'/level'"),
                       ("/level.data > 1 for 3parsec", "unknown unit")):
        detail = call("POST", "/api/v1/conditions/test", {"when": when, "wait_s": 0.5}, 400)["detail"]
        bp.check(word in detail, f"{when}: {detail}")
    call("POST", "/api/v1/conditions/test", {"wait_s": 1}, 400)
    call("POST", "/api/v1/conditions/test", {"when": "cpu > 1", "wait_s": 99}, 400)
    got = call("POST", "/api/v1/conditions/test", {"when": "/beat.data == 1 and /estop"})
    bp.check(got["value"] is True and got["instances"][0]["values"]["/beat.data"] == 1, f"{got}")
    got = call("POST", "/api/v1/conditions/test", {"when": "/beat.data == 2"})
    bp.check(got["value"] is False, f"{got}")
    status, out, _ = bp.bagpipe("trigger", "test", "/beat.data < 0", "--url", f"unix:{agent.sock}", ok=(1,))
    bp.check(out.startswith("false\n") and "/beat.data = 1.0" in out, out)
    out = agent.verb("trigger", "list")
    bp.check(re.search(r"^low +idle +fired 1", out, re.M) and "is /" not in out.split("never")[0], out)
    everything = json.dumps(call("GET", "/api/v1/triggers")) + agent.p.text() + call("GET", "/metrics")
    bp.check("sesame" not in everything, "secrets of a webhook's address are not shown")
    bp.check("webhook http://127.0.0.1" in everything, "its host is")
    metrics = call("GET", "/metrics")
    for line in ('bagpipe_trigger_fired_total{trigger="low"} 1', 'bagpipe_trigger_active{trigger="low"} 0',
                 'bagpipe_trigger_webhooks_sent_total 2', 'bagpipe_trigger_messages_dropped_total 0',
                 'bagpipe_trigger_action_failures_total{action="snapshot"} 1', "bagpipe_topic_marks_total 1"):
        bp.check(line in metrics, f"metrics: {line}")


def documents(folder):
    """Every example of the page is accepted; a damaged one is refused with file, line and caret."""
    page = (bp.REPO / "docs" / "triggers.md").read_text()
    blocks = re.findall(r"```yaml\n(.*?)```", page, re.S)
    count = 0
    for i, block in enumerate(blocks):
        f = folder / f"doc{i}.yaml"
        f.write_text(block)
        bp.bagpipe("config", "check", f)
        count += len(re.findall(r"^ *when:", block, re.M))
    bp.check(count >= 10, f"{count} examples")
    bad = folder / "bad.yaml"
    bad.write_text("log:\n  level: debug\ntriggers:\n  - name: x\n    when: /a.b <\n    do: mark\n")
    _, _, err = bp.bagpipe("config", "check", bad, ok=(2,))
    bp.check("bad.yaml, line 4: trigger 'x': when: something is missing" in err and err.rstrip().endswith("^"), err)
    for change, word in (("do: mrk", "unknown action 'mrk'"), ("doo: mark", "did you mean 'do'"), ("", "do: say what"),
                         ("do: webhook ftp://x", "http://"), ("do: mark\n    cooldown: soon", "duration")):
        bad.write_text(f"triggers:\n  - name: x\n    when: /a.b < 1\n    {change}\n")
        _, _, err = bp.bagpipe("config", "check", bad, ok=(2,))
        bp.check("bad.yaml, line 2: trigger 'x'" in err and word in err, f"{change}: {err}")


class Agent:
    def __init__(self, folder, config):
        self.data, self.sock = folder / "data", folder / "agent.sock"
        self.p = bp.Proc([bp.BAGPIPE, "agent", "--config", config, "--set", f"storage.dir={self.data}",
                          f"http.socket={self.sock}", f"http.listen=127.0.0.1:{PORT}", f"discovery.domains={DOMAIN}",
                          "buffer.ring_size=32MiB"])
        bp.until(lambda: "agent is ready" in self.p.text() or not self.p.alive(), 20, "the agent")
        bp.check(self.p.alive(), f"the agent runs: {self.p.text()[-800:]}")

    def verb(self, *args):
        return bp.bagpipe(*args, "--url", f"unix:{self.sock}")[1]


def test():
    folder = bp.scratch()
    documents(folder)
    hook = Receiver(refuse=1)
    say = Say(DOMAIN)
    open_topics(say)
    config = folder / "agent.yaml"
    config.write_text(CONFIG.format(hook=hook.url, closed="http://127.0.0.1:9/x?token=opensesame"))
    agent = Agent(folder, config)
    listening(say)
    beat = Beat(say)
    beat.start()
    low(say, hook)
    messages(say)
    over_time(say, beat)
    by_hand(say)
    timing(say)
    marks(say)
    errors(agent, hook)
    beat.end = True
    beat.join()
    status = agent.p.stop(timeout=20, sig=signal.SIGTERM)
    bp.check(status == 0, f"SIGTERM: exit status {status}: {agent.p.text()[-600:]}")
    say.end()


if __name__ == "__main__":
    bp.own_network()
    bp.main(test)
