#!/bin/sh
# The first process of the container `web`: nginx with deploy/nginx/bagpipe-dashboard.conf, as the environment says.
#
#   API          HOST:PORT of the agent or server that /api/ is passed to (127.0.0.1:8080)
#   BACKEND_URL  where browsers find the API instead, https://site.example.com
#   WS_URL       where browsers find the events instead, wss://site.example.com:8765/
#   LISTEN       [ADDRESS:]PORT (3000)
#
# CONF, FILES and RUN are paths of the configuration, of web/dist and of a folder of its own; for tests.
set -eu
conf=${CONF:-/usr/share/bagpipe/bagpipe-dashboard.conf}
files=${FILES:-/usr/share/bagpipe/web}
run=${RUN:-/tmp/bagpipe-web}

# fits NAME VALUE PATTERN: what is written into a configuration must not be able to say more than it should
fits() {
    [ "$(printf '%s\n' "$2" | wc -l)" -eq 1 ] && printf '%s\n' "$2" | grep -Eqx "$3" && return
    echo "web: $1='$2' is not usable" >&2
    exit 78
}

url='[0-9A-Za-z._~:/%-]*'
fits API "${API:=127.0.0.1:8080}" '([0-9A-Za-z._-]+|\[[0-9a-fA-F:]+\]):[0-9]+'
fits BACKEND_URL "${BACKEND_URL:=}" "(https?://$url|/$url)?"
fits WS_URL "${WS_URL:=}" "((https?|wss?)://$url|/$url)?"
fits LISTEN "${LISTEN:=3000}" '([0-9.]+:)?[0-9]+'

mkdir -p "$run"
sed -e "s|server 127\.0\.0\.1:8080;|server $API;|" \
    -e "s|listen 3000;|listen $LISTEN;|" \
    -e "s|root /usr/share/bagpipe/web;|root $files;|" \
    -e "s|\(bagpipe_backend_url *{ default\) \"\"|\1 \"$BACKEND_URL\"|" \
    -e "s|\(bagpipe_ws_url *{ default\) \"\"|\1 \"$WS_URL\"|" "$conf" >"$run/dashboard.conf"
cat >"$run/nginx.conf" <<TEXT
daemon off;
pid $run/nginx.pid;
error_log stderr notice;
events { worker_connections 1024; }
http {
    access_log off;
    client_body_temp_path $run/body;
    proxy_temp_path $run/proxy;
    fastcgi_temp_path $run/fastcgi;
    uwsgi_temp_path $run/uwsgi;
    scgi_temp_path $run/scgi;
    include $run/dashboard.conf;
}
TEXT
exec nginx -e stderr -c "$run/nginx.conf" -p "$run"
