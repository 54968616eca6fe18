"""The dashboard over an address that is not this machine's own: sign-in, roles, a login that ends, foreign pages.
No secret may stand in an address, in the log, or where scripts can read it.
"""
import subprocess

import bp
import browser
from agentapi import Agent

DOMAIN = 152
ADDRESS = "10.98.7.5"
PASSWORD = "correct horse battery"


def test():
    browser.need()
    folder = bp.scratch()
    subprocess.run(["ip", "addr", "add", f"{ADDRESS}/32", "dev", "lo"], check=True)
    known = ["--set", f"storage.dir={folder / 'data'}", f"http.socket={folder / 'agent.sock'}"]
    for name, role in (("vera", "viewer"), ("otto", "operator"), ("anna", "admin")):
        subprocess.run([bp.BAGPIPE, "user", "add", name, "--role", role, *known], input=PASSWORD, text=True, check=True, timeout=60)
    token = bp.bagpipe("token", "new", "judge", "--role", "admin", *known)[1].strip()
    agent = Agent(folder, f"http.listen={ADDRESS}:0", domain=DOMAIN)
    browser.sim(DOMAIN, "--profile", "small")
    browser.drive("access", agent.base, password=PASSWORD, token=token)
    log = agent.p.text()
    bp.check(PASSWORD not in log and token not in log, "a secret in the log")


if __name__ == "__main__":
    if bp.own_network():
        bp.main(test)
    bp.skip("an address of one's own needs a network namespace")
