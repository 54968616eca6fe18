"""A host that gets hot: the agent records less, step by step and by priority, says so everywhere, and comes back.

The temperature is that of a thermal zone in a folder of the test's own (BAGPIPE_TEST_HOST_ROOT). What is left
out is in the ledger under its own cause, as the senders' logs say; in between nothing is compressed.
"""
import time

from mcap.reader import make_reader

import bp
import care
import judge
import senders
from bag import Bag

DOMAIN = 136
STEPS = ["no_compression", "thin_low", "no_low", "high_only"]


class Zone:
    def __init__(self, folder):
        self.folder = folder / "host"
        zone = self.folder / "sys/class/thermal/thermal_zone0"
        zone.mkdir(parents=True)
        (zone / "type").write_text("cpu-thermal\n")
        self.file = zone / "temp"
        self.set(50)

    def set(self, celsius):
        self.file.write_text(f"{celsius * 1000}\n")


def step_of(agent):
    d = agent.ask("/api/v1/status")["degraded"]
    bp.check(len(d) <= 1 and all(x["why"] == "temperature" for x in d), f"one reason: {d}")
    return d[0]["step"] if d else "none"


def watch(agent, until, timeout):
    """@return the steps seen, each once, up to the one waited for"""
    seen = [step_of(agent)]
    end = time.monotonic() + timeout
    while seen[-1] != until and time.monotonic() < end:
        s = step_of(agent)
        if s != seen[-1]:
            seen.append(s)
        time.sleep(0.05)
    return seen


def chunks(folder):
    out = []
    for path in folder.glob("*.mcap"):
        with open(path, "rb") as f:
            out += [(c.message_start_time, c.message_end_time, c.compression)
                    for c in make_reader(f).get_summary().chunk_indexes]
    return out


def test():
    folder = bp.scratch()
    zone = Zone(folder)
    agent = care.Agent(folder, DOMAIN, "degrade.temperature.enter=80", "degrade.temperature.leave=70", "degrade.hold=1s",
                       "degrade.recover=1s", "degrade.thin_rate=5", "record.compression=zstd",
                       "record.priority=/low*=low,/normal*=normal,/high*=high",
                       ring="64MiB", env={"BAGPIPE_TEST_HOST_ROOT": str(zone.folder)})
    agent.tell("/api/v1/sessions", {"name": "hot"}, 201)
    robot = bp.sim("--robots", 1, "--profile", "mixed", domain=DOMAIN, log=folder / "sim.log")
    logs = {p: folder / f"{p}.log" for p in ("low", "normal", "high")}
    pubs = [senders.peer(DOMAIN, log, secs=60, topics=2, size=500, hz=100, linger=1, prefix="/" + p)
            for p, log in logs.items()]
    time.sleep(3)
    host = agent.ask("/api/v1/host")
    bp.check(host["temperatures"] == [{"chip": "cpu-thermal", "label": "", "celsius": 50.0, "critical": None}],
             f"the host's temperature: {host['temperatures']}")
    bp.check(step_of(agent) == "none" and not agent.alerts(), "nothing is wrong")
    zone.set(85)
    up = watch(agent, "high_only", 30)
    bp.check(up == ["none", *STEPS], f"up, step by step: {up}")
    bp.check("degraded.temperature" in agent.alerts(), f"an alert: {agent.alerts()}")
    bp.check('bagpipe_degraded_step{reason="temperature"} 4' in agent.ask("/metrics"), "in the metrics")
    hottest = time.time_ns()
    agent.tell("/api/v1/sessions", {"name": "late"}, 201)
    zone.set(75)
    time.sleep(2.5)
    bp.check(step_of(agent) == "high_only", "between the limits it stays")
    agent.tell("/api/v1/sessions/late/stop")
    zone.set(60)
    down = watch(agent, "none", 30)
    bp.check(down == [*reversed(STEPS), "none"], f"down in order: {down}")
    bp.until(lambda: not agent.alerts(), 5, "the alert to be cleared")
    bp.check("degraded.temperature" in agent.alerts(past=True), "it is remembered")
    time.sleep(3)
    for p in [*pubs, robot]:
        p.stop()
    agent.tell("/api/v1/sessions/hot/stop")
    agent.stop()
    judged(agent.data, logs, hottest)


def judged(data, logs, hottest):
    bp.bagpipe("verify", data / "hot")
    bag = Bag(data / "hot")
    r = judge.account(bag, judge.SendLog(*logs.values()))
    for p in r.problems:
        bp.fail(p)
    left = {p: sum(b - a + 1 for (_, t), s in bag.ledger.items() if t.startswith("/" + p) for a, b in s.lost["degraded"])
            for p in logs}
    bp.check(left["low"] > left["normal"] > 0 and left["high"] == 0, f"left out by priority: {left}")
    latched = [s for (_, t), s in bag.ledger.items() if t.endswith("tf_static")]
    bp.check(latched and all(not s.lost["degraded"] for s in latched), "latched topics are always recorded")
    marks = [(int(m["time_ns"]), m["text"]) for _, name, m in bag.metadata if name == "bagpipe.degraded"]
    bp.check(len(marks) == 8 and marks[-1][1] == "everything is recorded", f"marks in the file: {marks}")
    late = [m["text"] for _, name, m in Bag(data / "late").metadata if name == "bagpipe.degraded"]
    bp.check(late and "only topics of high priority" in late[0], f"one that begins meanwhile says it: {late}")
    bp.check(not any(t.startswith(("/low", "/normal")) for t, v in Bag(data / "late").messages.items() if v),
             "and has high priorities alone")
    got = chunks(data / "hot")
    hot = [c for c in got if c[0] > marks[0][0] + 5e8 and c[1] < marks[-1][0] - 5e8]
    cool = [c for c in got if c[1] < marks[0][0]]
    bp.check(hot and all(c[2] == "" for c in hot), f"hot: nothing is compressed ({[c[2] for c in hot][:5]})")
    bp.check(any(c[2] == "zstd" for c in cool), "before: compressed")
    bp.say(f"left out {left} of {r.sent}; {len(cool)} chunks before, {len(hot)} while hot, {len(marks)} marks")


if __name__ == "__main__":
    bp.own_network()
    bp.main(test)
