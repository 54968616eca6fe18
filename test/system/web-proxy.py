"""The dashboard below a path of a real nginx: the same build, nothing asked for outside of the path."""
import os
import signal
import subprocess

import bp
import browser
from agentapi import Agent

DOMAIN = 157
PORT = 19885
PASSWORD = "correct horse battery"
NGINX = "/usr/sbin/nginx"


def front(folder, agent):
    (folder / "nginx.conf").write_text(f"""
        user root; worker_processes 1; daemon off; pid {folder}/nginx.pid; error_log {folder}/error.log notice;
        events {{ worker_connections 256; }}
        http {{
            access_log {folder}/access.log;
            client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/f;
            uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
            map $http_upgrade $connection_upgrade {{ default upgrade; '' ''; }}
            server {{
                listen 127.0.0.1:{PORT};
                location /robot7/ui/ {{
                    proxy_pass {agent.base}/;
                    proxy_http_version 1.1;
                    proxy_set_header Host $http_host;
                    proxy_set_header X-Forwarded-For $remote_addr;
                    proxy_set_header X-Forwarded-Prefix /robot7/ui;
                    proxy_set_header Upgrade $http_upgrade;
                    proxy_set_header Connection $connection_upgrade;
                }}
                location / {{ return 404; }}
            }}
        }}""")
    p = bp.Proc([NGINX, "-e", folder / "error.log", "-c", folder / "nginx.conf", "-p", folder])
    bp.until(lambda: (folder / "nginx.pid").exists() or not p.alive(), 20, "nginx", 0.05)
    bp.check(p.alive(), f"nginx runs: {p.text()}")
    return p


def test():
    browser.need()
    folder = bp.scratch()
    known = ["--set", f"storage.dir={folder / 'data'}", f"http.socket={folder / 'agent.sock'}"]
    subprocess.run([bp.BAGPIPE, "user", "add", "anna", "--role", "admin", *known], input=PASSWORD, text=True, check=True, timeout=60)
    agent = Agent(folder, "http.trusted_proxies=127.0.0.1", domain=DOMAIN)
    browser.sim(DOMAIN, "--profile", "small")
    nginx = front(folder, agent)
    browser.drive("proxy", f"http://127.0.0.1:{PORT}/robot7/ui/", password=PASSWORD)
    nginx.stop(sig=signal.SIGTERM)
    log = (folder / "access.log").read_text()
    bp.check("/robot7/ui/api/v1/events HTTP/1.1\" 101" in log, "the WebSocket went through nginx")
    bp.check(PASSWORD.split()[0] not in log, "a password in nginx's log")


if __name__ == "__main__":
    if not os.path.exists(NGINX):
        bp.skip("nginx is not installed")
    bp.own_network()
    bp.main(test)
