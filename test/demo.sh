#!/usr/bin/env bash
# The demo: two simulated robots, each with an agent that records it and sends it to a server, over a
# link that breaks. `./run demo [--for 10s]` calls it.
#
#   demo.sh '' [s3]        to look at: the dashboard until Ctrl-C, then what was recorded is verified. Robot 2's
#                          network drops packets, one of its targets refuses what it sends, triggers raise alerts;
#                          retention keeps the folder below 2 GB however long it runs
#   demo.sh SECONDS [s3]   the proof: the link breaks twice, and a table tells that every byte arrived once. What
#                          was recorded is verified, shown, replayed into a second recording, both are compared.
#                          The last lines are: recorded N, lost N, replay equal (or what differs), and the folder
#
# With s3 the server sends all of it on to a bucket of Ceph's. Everything stays on this machine (loopback only)
# in ROS domains nobody uses here.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
build=${BP_BUILD:-$here/../build}
bagpipe=${BAGPIPE:-$build/bagpipe}
seconds=${1:-}
cloud=${2:-}
export ROS_LOCALHOST_ONLY=1
unset ROS_AUTOMATIC_DISCOVERY_RANGE ROS_STATIC_PEERS CYCLONEDDS_URI ROS_DOMAIN_ID

mkdir -p "$build/demo"
folder=$(cd "$build/demo" && pwd)/$(date +%Y%m%d-%H%M%S)-$$
mkdir "$folder"
started=()
lossy="<CycloneDDS><Domain Id='any'><Internal><Test><XmitLossiness>2</XmitLossiness></Test></Internal></Domain></CycloneDDS>"

# Children only, by number; whatever happens none of them stays. They have sessions of their own, so
# that Ctrl-C reaches this script alone and the recorder outlives the robots.
# shellcheck disable=SC2317
clean_up() {
    local pid file
    for file in "$folder"/*.pid; do # of replays, whose shells are not this one
        [ ! -f "$file" ] || started+=("$(cat "$file")")
    done
    for pid in "${started[@]}"; do
        kill -INT "$pid" 2>/dev/null || true
    done
}
trap clean_up EXIT

die() {
    echo "demo: $*" >&2
    echo "$folder"
    exit 1
}

# free_domain [TAKEN…]: a ROS domain whose discovery port (RTPS 2.5 §9.6.2.1: 7400 + 250 * domain) nobody has
# bound.
free_domain() {
    local domain port try
    for try in {1..60}; do
        domain=$((50 + (RANDOM + try) % 50))
        port=$(printf '%04X' $((7400 + 250 * domain)))
        if [[ " $* " != *" $domain "* ]] && ! grep -q ":$port " /proc/net/udp; then
            echo $domain
            return
        fi
    done
    die "no ROS domain between 50 and 99 is free"
}

# free_port PORT: the usual one, or when somebody listens there one that the system chooses (0).
free_port() {
    local port
    port=$(printf '%04X' "$1")
    if grep -qE ":$port 0+:0000 0A" /proc/net/tcp; then echo 0; else echo "$1"; fi
}

# wait_for FILE WORD PID WHAT [TIMES]: looks 20 times a second
wait_for() {
    for ((try = 0; try < ${5:-400}; try++)); do
        ! grep -qs "$2" "$1" || return 0
        kill -0 "$3" 2>/dev/null || die "$4 ended: $(tail -n 3 "$1")"
        sleep 0.05
    done
    die "$4 did not start: $(tail -n 3 "$1")"
}

# show_config ROBOT DOMAIN: what makes a robot worth looking at, and its disk no fuller than some 400 MB. The raw pictures
# are there to be seen live; 14 MB a second of them would be recorded to no use.
show_config() {
    cat <<TEXT
session: { max_time: 1min, at_max: next, name: "robot$1_{time}", mission: demo, operator: "demo, robot $1" }
record: { exclude_topics: ["/*/camera/image_raw"], max_rate: ["/*/lidar/points=4"] }
robots: { rules: ["robot$1=domain:$2"] }
retention: { max_size: 192MiB, keep_marked: false, delete_not_uploaded: true, interval: 10s }
snapshot: { enabled: true, before: 20s, after: 5s, max_bytes: 32MiB, exclude_topics: ["/*/camera/image_raw"] }
triggers:
  - { name: sharp_turn, when: "abs(/*/imu.angular_velocity.z) > 0.3 for 1s", do: [mark, alert info], text: "{robot} turns sharply ({value} rad/s)" }
TEXT
    [ "$1" = 2 ] || return 0
    cat <<TEXT
  - { name: battery, when: "/*/battery_state.percentage < 99%", do: [alert], text: "{robot} is not fully charged any more ({value})" }
sync:
  targets:
    - { name: depot, url: "s3://depot/robot2", endpoint: "http://$server", anonymous: true, optional: true }
TEXT
}

# start_agent ROBOT DOMAIN PORT: in the background, back when it records; sets agents[ROBOT].
start_agent() {
    local like=(--set session.name=drive) segment=8MiB
    if [ -z "$seconds" ]; then
        show_config "$1" "$2" >"$folder/robot$1.yaml"
        like=(--config "$folder/robot$1.yaml" --set sync.device="robot$1" --set link.name="robot$1") segment=16MiB
    fi
    setsid "$bagpipe" agent --json "${like[@]}" --set storage.dir="$folder/robot$1" --set discovery.domains="$2" \
        --set http.listen="127.0.0.1:$(free_port "$3")" --set http.socket="$folder/robot$1.sock" \
        --set session.auto_start=true --set buffer.ring_size=64MiB \
        --set record.segment_size=$segment --set sync.part_size=1MiB --upstream "http://127.0.0.1:$link" \
        --set link.url="http://$server" 2>"$folder/robot$1.log" &
    agents[$1]=$!
    started+=($!)
    wait_for "$folder/robot$1.log" 'agent is ready' "${agents[$1]}" "the agent of robot $1"
    at[$1]=$(sed -n 's/.*agent is ready.*"http":"\([^"]*\)".*/\1/p' "$folder/robot$1.log")
}

# start_cloud: sets bucket, and what the server and whoever fetches need to use it.
start_cloud() {
    local url key secret
    setsid python3 "$here/demo-s3.py" serve "$folder/cloud" >"$folder/cloud.txt" 2>"$folder/cloud.log" &
    cloud_pid=$!
    started+=($!)
    wait_for "$folder/cloud.txt" http $cloud_pid "the bucket" 1200
    read -r url key secret <"$folder/cloud.txt"
    export AWS_ACCESS_KEY_ID=$key AWS_SECRET_ACCESS_KEY=$secret AWS_ENDPOINT_URL_S3=$url AWS_REGION=us-east-1
    bucket=s3://demo
}

# start_server: with the link in front of it that agents use; sets server and link.
start_server() {
    local keep=()
    [ -n "$seconds" ] || keep=(--set retention.max_size=512MiB --set retention.interval=10s --set retention.uploaded_only=false)
    setsid "$bagpipe" server --json --dir "$folder/server" --set http.listen="127.0.0.1:$(free_port 8080)" \
        --set events.listen=127.0.0.1:0 --set metrics.listen=127.0.0.1:0 \
        --set http.socket="$folder/server.sock" ${bucket:+--set cloud.target="$bucket"} "${keep[@]}" \
        2>"$folder/server.log" &
    server_pid=$!
    started+=($!)
    wait_for "$folder/server.log" 'server is ready' $server_pid "the server"
    server=$(sed -n 's/.*server is ready.*"http":"\([^"]*\)".*/\1/p' "$folder/server.log")
    setsid python3 "$here/demo-link.py" "${server##*:}" "$folder/link.json" "${seconds:-again}" \
        >"$folder/link.txt" 2>"$folder/link.log" &
    link_pid=$!
    started+=($!)
    wait_for "$folder/link.txt" '[0-9]' $link_pid "the link"
    link=$(cat "$folder/link.txt")
}

stop_agent() {
    local status=0
    kill -TERM "${agents[$1]}"
    wait "${agents[$1]}" || status=$?
    [ $status -eq 0 ] || die "the agent of robot $1 failed: $(tail -n 3 "$folder/robot$1.log")"
}

# start_robot ROBOT DOMAIN: sends when its recorder listens; sets sims[ROBOT].
start_robot() {
    local how=(--rate 0.5 --reliable-sensors --wait-for-readers 1 --duration "${seconds}s" --log "$folder/sent$1.log")
    local uri=''
    [ -n "$seconds" ] || how=()
    # 2 packets of 1,000 do not leave robot 2: sensors are sent as they are, the rest is sent again
    if [ -z "$seconds" ] && [ "$1" = 2 ]; then uri=$lossy; fi
    CYCLONEDDS_URI=$uri setsid "$bagpipe" sim --robots 1 --start-index "$1" --profile mixed --domain "$2" \
        --wait-timeout 20s "${how[@]}" >"$folder/sim$1.txt" 2>"$folder/sim$1.log" &
    sims[$1]=$!
    started+=($!)
}

# replay ROBOT DOMAIN: its recording into a second one.
replay() {
    local recorder status=0 out=$folder/second$1
    setsid "$bagpipe" record -a -o "$out" --domain "$2" >"$out.txt" 2>"$out.log" &
    recorder=$!
    echo $recorder >"$out.pid"
    wait_for "$out.log" recording $recorder "the recorder"
    "$bagpipe" play "$folder/robot$1/drive" --domain "$2" --wait-for-readers 10s \
        --disable-keyboard-controls 2>"$folder/play$1.log" ||
        status=$?
    kill -INT $recorder
    # 3 = done with losses: the comparison tells
    wait $recorder || [ $? -eq 3 ] || die "the recorder failed: $(tail -n 3 "$out.log")"
    rm "$out.pid"
    [ $status -eq 0 ] || die "replay failed: $(tail -n 3 "$folder/play$1.log")"
}

# The end of what was looked at: agents end their sessions, all of them are verified.
end_show() {
    local robot session n=0
    for robot in 1 2; do stop_agent $robot; done
    kill -TERM $link_pid $server_pid ${cloud_pid:+"$cloud_pid"}
    wait $link_pid || die "the link failed: $(tail -n 3 "$folder/link.log")"
    wait $server_pid || die "the server failed: $(tail -n 3 "$folder/server.log")"
    echo "== verified"
    for session in "$folder"/robot[12]/*/metadata.yaml; do
        session=${session%/*}
        n=$((n + 1))
        "$bagpipe" verify "$session" >"$folder/verify.txt" 2>&1 || { cat "$folder/verify.txt"; die "$session is damaged"; }
    done
    [ $n -ge 2 ] || die "$n sessions are there"
    echo "$n sessions are whole; $(du -sh "$folder" | cut -f 1) in all"
    echo "$folder"
}

declare -A agents=() at=() sims=()
ended=''
server='' server_pid='' link='' link_pid='' bucket='' cloud_pid=''
one=$(free_domain)
two=$(free_domain "$one")
three=$(free_domain "$one" "$two")
four=$(free_domain "$one" "$two" "$three")

echo "== two robots, an agent each ${seconds:+for $seconds s }(ROS domains $one and $two)"
[ -z "$cloud" ] || start_cloud
start_server
start_agent 1 "$one" 9090
start_agent 2 "$two" 9190
start_robot 1 "$one"
start_robot 2 "$two"
cat <<TEXT

   Dashboard:     http://$server/

   robots' own:   http://${at[1]}/  and  http://${at[2]}/
   on a terminal: $bagpipe top http://${at[1]}
                  $bagpipe status --url http://${at[1]}
                  $bagpipe sync --url http://${at[1]}
                  curl -s http://${at[1]}/metrics
                  curl -s http://$server/api/v1/sessions
TEXT
trap 'ended=1; kill -INT "${sims[@]}" 2>/dev/null || true' INT
if [ -z "$seconds" ]; then
    trap 'ended=1; kill -INT "${sims[@]}" 2>/dev/null || true' TERM
    echo "   Ctrl-C ends it"
fi
for robot in 1 2; do
    while kill -0 "${sims[$robot]}" 2>/dev/null; do wait "${sims[$robot]}" || true; done
done
trap - INT TERM
[ -z "$ended" ] || echo
for robot in 1 2; do
    wait "${sims[$robot]}" || die "robot $robot failed: $(tail -n 3 "$folder/sim$robot.log")"
done
if [ -z "$seconds" ]; then
    end_show
    exit
fi
for robot in 1 2; do
    "$bagpipe" status --url "http://${at[$robot]}" || die "the agent of robot $robot does not answer"
    "$bagpipe" session stop --url "http://${at[$robot]}" >/dev/null || die "robot $robot's session does not end"
done

echo "== sent to the server"
for robot in 1 2; do
    python3 "$here/demo-sync.py" wait "http://${at[$robot]}" || die "not everything of robot $robot arrived"
    "$bagpipe" sync --url "http://${at[$robot]}"
    stop_agent $robot
done
kill -TERM $link_pid
wait $link_pid || die "the link failed: $(tail -n 3 "$folder/link.log")"
python3 "$here/demo-sync.py" table "http://$server" "$folder/server" "$folder/link.json" \
    "$folder/robot1/drive" "$folder/robot2/drive" || die "the server has not every byte, once"
if [ -n "$bucket" ]; then
    echo "== sent on to $bucket, and fetched back"
    python3 "$here/demo-sync.py" wait "http://$server" || die "not everything arrived in the bucket"
    for robot in 1 2; do
        id=$(sed -n 's/.*"id": *"\([0-9A-Z]\{26\}\)".*/\1/p' "$folder/robot$robot/drive/manifest.json" | head -n 1)
        "$bagpipe" pull --quiet "$bucket/$id" "$folder/back$robot" || die "session $id cannot be fetched back"
    done
    python3 "$here/demo-s3.py" table "$folder"/robot1/drive "$folder"/back1/drive "$folder"/robot2/drive "$folder"/back2/drive ||
        die "the bucket has not every byte"
    kill -TERM $cloud_pid
fi
kill -TERM $server_pid
wait $server_pid || die "the server failed: $(tail -n 3 "$folder/server.log")"

echo "== verified"
for robot in 1 2; do
    "$bagpipe" verify "$folder/robot$robot/drive" || die "the recording is damaged"
done
echo "== shown"
"$bagpipe" info "$folder/robot1/drive"

echo "== replayed (ROS domains $three and $four) and recorded again"
replay 1 "$three" &
first=$!
replay 2 "$four"
wait $first || die "robot 1 was not replayed"

status=0
for robot in 1 2; do
    echo "== robot $robot"
    python3 "$here/demo-compare.py" "$folder/sent$robot.log" "$folder/robot$robot/drive" \
        "$folder/second$robot" || status=$?
done
echo "$folder"
exit $status
