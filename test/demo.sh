#!/usr/bin/env bash
# The demo: two simulated robots are recorded, the recording is verified, shown, replayed into a
# second recording and both are compared. `./run demo [--for 10s]` calls it.
#
#   demo.sh [SECONDS]     without SECONDS it records until Ctrl-C, then does the rest
#
# Everything stays on this machine (loopback only) in two ROS domains nobody uses here. The last
# lines are: recorded N, lost N, replay equal (or what differs), and the folder.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
build=${BP_BUILD:-$here/../build}
bagpipe=${BAGPIPE:-$build/bagpipe}
seconds=${1:-}
export ROS_LOCALHOST_ONLY=1
unset ROS_AUTOMATIC_DISCOVERY_RANGE ROS_STATIC_PEERS CYCLONEDDS_URI ROS_DOMAIN_ID

mkdir -p "$build/demo"
folder=$(cd "$build/demo" && pwd)/$(date +%Y%m%d-%H%M%S)-$$
mkdir "$folder"
started=()

# Children only, by number; whatever happens none of them stays. They have sessions of their own, so
# that Ctrl-C reaches this script alone and the recorder outlives the robots.
clean_up() {
    local pid
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

# A ROS domain whose discovery port (RTPS 2.5 §9.6.2.1: 7400 + 250 * domain) nobody has bound.
free_domain() {
    local domain port try
    for try in {1..60}; do
        domain=$((50 + (RANDOM + try) % 50))
        port=$(printf '%04X' $((7400 + 250 * domain)))
        if [ "$domain" != "${1:-}" ] && ! grep -q ":$port " /proc/net/udp; then
            echo $domain
            return
        fi
    done
    die "no ROS domain between 50 and 99 is free"
}

# start_recorder DOMAIN OUT: in the background, back when it listens; sets recorder.
start_recorder() {
    setsid "$bagpipe" record -a -o "$2" --domain "$1" >"$2.txt" 2>"$2.log" &
    recorder=$!
    started+=("$recorder")
    for _ in {1..200}; do
        ! grep -qs recording "$2.log" || return 0
        kill -0 "$recorder" 2>/dev/null || die "the recorder ended: $(tail -n 3 "$2.log")"
        sleep 0.05
    done
    die "the recorder did not start: $(tail -n 3 "$2.log")"
}

stop_recorder() {
    local status=0
    kill -INT "$recorder"
    wait "$recorder" || status=$?
    # 3 = done with losses: the comparison below tells
    [ $status -eq 0 ] || [ $status -eq 3 ] || die "the recorder failed: $(tail -n 3 "$1.log")"
}

first=$folder/first second=$folder/second
domain=$(free_domain)
other=$(free_domain "$domain")

echo "== two robots are recorded ${seconds:+for $seconds s }(ROS domain $domain)"
start_recorder "$domain" "$first"
setsid "$bagpipe" sim --robots 2 --profile mixed --rate 0.5 --reliable-sensors --domain "$domain" \
    --wait-for-readers 1 --wait-timeout 20s ${seconds:+--duration "${seconds}s"} \
    --log "$folder/sent.log" >"$folder/sim.txt" 2>"$folder/sim.log" &
sim=$!
started+=("$sim")
trap 'kill -INT $sim 2>/dev/null || true' INT
[ -n "$seconds" ] || echo "   Ctrl-C ends the recording"
while kill -0 $sim 2>/dev/null; do wait $sim || true; done
trap - INT
wait $sim || die "the simulator failed: $(tail -n 3 "$folder/sim.log")"
tail -n 1 "$folder/sim.txt"
stop_recorder "$first"

echo "== verified"
"$bagpipe" verify "$first" || die "the recording is damaged"
echo "== shown"
"$bagpipe" info "$first"

echo "== replayed (ROS domain $other) and recorded again"
start_recorder "$other" "$second"
"$bagpipe" play "$first" --domain "$other" --wait-for-readers 10s --disable-keyboard-controls \
    2>"$folder/play.log" || die "replay failed: $(tail -n 3 "$folder/play.log")"
stop_recorder "$second"

status=0
python3 "$here/demo-compare.py" "$folder/sent.log" "$first" "$second" || status=$?
echo "$folder"
exit $status
