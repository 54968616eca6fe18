"""Messages from a foreign encoder (rosbags) through nodes of the test's own, and a receiver of webhooks."""
import http.server
import json
import subprocess
import threading

import bp
from rosbags.typesys import Stores, get_typestore

TYPES = get_typestore(Stores.ROS2_JAZZY)
T = TYPES.types


def number(v):
    return T["std_msgs/msg/Float64"](data=float(v))


class Say:
    """Publishers on their own participants, each a node."""

    def __init__(self, domain):
        self.p = subprocess.Popen([str(bp.BUILD / "test/system/dds-say"), str(domain)], stdin=subprocess.PIPE,
                                  stdout=subprocess.PIPE, text=True)
        self.ids, self.lock = {}, threading.Lock()

    def ask(self, line):
        with self.lock:
            self.p.stdin.write(line + "\n")
            self.p.stdin.flush()
            return self.p.stdout.readline().strip()

    def open(self, topic, kind, qos="reliable", node="-"):
        self.ids[topic] = (len(self.ids), kind)
        answer = self.ask(f"advertise {self.ids[topic][0]} {topic} {kind} {qos} {node}")
        bp.check(answer == "ok", f"{topic}: {answer}")

    def heard(self, topic):
        bp.until(lambda: int(self.ask(f"matched {self.ids[topic][0]}")) > 0, 20, f"a subscription to {topic}")

    def write(self, topic, message):
        n, kind = self.ids[topic]
        answer = self.ask(f"write {n} {bytes(TYPES.serialize_cdr(message, kind)).hex()}")
        bp.check(answer == "ok", f"{topic}: {answer}")

    def close(self, topic):
        self.ask(f"close {self.ids[topic][0]}")

    def end(self):
        self.p.stdin.close()
        self.p.wait(20)


class Receiver:
    """A webhook's other side: refuses the first `refuse` requests, takes the others; `got` is (path, body, headers)."""

    def __init__(self, refuse=0):
        self.got, self.tries = [], 0
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.tries += 1
                if outer.tries <= refuse:
                    self.send_error(503)
                    return
                outer.got.append((self.path, json.loads(body), dict(self.headers)))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://user:sesame@127.0.0.1:{self.server.server_port}/hook?token=opensesame"
