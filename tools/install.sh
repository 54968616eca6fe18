# Installs what is missing; sourced by ./run. Nothing here runs when nothing is missing.
# shellcheck shell=bash

# Debian package names by use. A word "command=package" is satisfied by the command, wherever it
# came from; others are asked of dpkg.
declare -A packages=(
    [build]='cc=gcc libc6-dev pkg-config=pkgconf meson=meson ninja=ninja-build git=git
        python3=python3-minimal cyclonedds-dev libzstd-dev liblz4-dev libisal-dev zlib1g-dev
        libssl-dev libsqlite3-dev libpcre2-dev libjansson-dev libmicrohttpd-dev
        libcurl4-openssl-dev libwslay-dev libjpeg-dev libpng-dev libncurses-dev uthash-dev libcmocka-dev
        node=nodejs npm=npm'
    [test]='valgrind=valgrind python3-venv node=nodejs npm=npm g++=g++ ip=iproute2 nft=nftables nbdkit=nbdkit
        nbdkit-plugin-dev nbdfuse=libnbd-bin losetup=mount mkfs.ext4=e2fsprogs fio=fio strace=strace ps=procps gcore=gdb
        libfastrtps-dev cyclonedds-tools nginx=nginx openssl=openssl clang=clang libclang-rt-14-dev
        systemd-analyze=systemd systemd-nspawn=systemd-container mmdebstrap=mmdebstrap promtool=prometheus
        prometheus-node-exporter=prometheus-node-exporter curl=curl
        radosgw=radosgw ceph-mon=ceph-mon ceph-osd=ceph-osd ceph-authtool=ceph-base ceph=ceph-common
        chromium=chromium fonts-dejavu-core
        swift-proxy swift-account swift-container swift-object memcached=memcached python3-botocore'
    [cross]='qemu-s390x=qemu-user i686-linux-gnu-gcc=gcc-i686-linux-gnu
        s390x-linux-gnu-gcc=gcc-s390x-linux-gnu aarch64-linux-gnu-gcc=gcc-aarch64-linux-gnu'
    [bench]='fio=fio cargo=cargo g++=g++ node=nodejs npm=npm rclone=rclone radosgw=radosgw ceph-mon=ceph-mon
        ceph-osd=ceph-osd ceph-authtool=ceph-base ceph=ceph-common'
    [cloud]='curl=curl radosgw=radosgw ceph-mon=ceph-mon ceph-osd=ceph-osd ceph-authtool=ceph-base ceph=ceph-common'
    [lint]='clang-format=clang-format clang-tidy=clang-tidy shellcheck=shellcheck man=man-db'
    [fuzz]='clang=clang libclang-rt-14-dev'
)
python_packages='mcap rosbags pyyaml zstandard lz4 numpy pillow pyjwt cryptography jsonschema
    openapi-spec-validator schemathesis prometheus-client pyte'
node_packages='ws @mcap/core @mcap/support @foxglove/rosmsg @foxglove/rosmsg2-serialization
    @grafana/grafana-foundation-sdk typescript@5 playwright-core@1.65.1 axe-core@4.14.1'
node_bench_packages='@tus/server@2.4.5 @tus/file-store@2.1.1 tus-js-client@4.3.1
    lighthouse@12.8.2'

# Runs a command; its output is shown only when it fails.
quietly() {
    local log status=0
    log=$(mktemp)
    "$@" >"$log" 2>&1 </dev/null || status=$?
    [ $status -eq 0 ] || { cat "$log" && echo "failed: $*"; } >&2
    rm -f "$log"
    return $status
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        echo "run: not root and no sudo; as root: $*" >&2
        return 1
    fi
}

# The Debian packages of the named groups that are not there, one per line.
missing_packages() {
    local group word names=() installed=
    for group in "$@"; do
        for word in ${packages[$group]}; do
            case $word in
            *=*) PATH=$PATH:/usr/sbin:/sbin command -v "${word%%=*}" >/dev/null || echo "${word#*=}" ;;
            *) names+=("$word") ;;
            esac
        done
    done
    if command -v dpkg-query >/dev/null; then
        installed=$(dpkg-query -W -f='${Package} ${db:Status-Abbrev}\n' "${names[@]}" 2>/dev/null |
            awk '$2 == "ii" { print $1 }')
    fi
    for word in "${names[@]}"; do
        [[ $'\n'$installed$'\n' == *$'\n'"$word"$'\n'* ]] || echo "$word"
    done
}

# Stops with names where we cannot install: another system has other package names.
need_packages() {
    local missing system
    missing=$(missing_packages "$@" | sort -u)
    [ -n "$missing" ] || return 0
    # shellcheck disable=SC1091
    system=$(. /etc/os-release 2>/dev/null && echo "${PRETTY_NAME:-an unknown system}")
    if ! command -v apt-get >/dev/null; then
        echo "run: this is $system, not Debian or Ubuntu; what these packages of Debian 12 hold is" \
            "needed: ${missing//$'\n'/ }" >&2
        exit 2
    fi
    echo "installing by apt: ${missing//$'\n'/ }"
    quietly as_root apt-get update || true # an old list may still do
    # shellcheck disable=SC2086
    if ! quietly as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y \
        --no-install-recommends $missing; then
        echo "run: $system lacks one of these packages; the project is built on Debian 12" >&2
        exit 2
    fi
    look_again
}

# What was configured without the new packages left out what needs them (the peers of the tests).
look_again() {
    local ninja
    for ninja in build/build.ninja build/*/build.ninja; do
        [ ! -f "$ninja" ] || quietly meson setup --reconfigure "$(dirname "$ninja")"
    done
}

# Installs once per list: the stamp holds the list it was made from.
need_python_packages() {
    local stamp=build/venv/.packages
    [ "$(cat $stamp 2>/dev/null)" != "$python_packages" ] || return 0
    echo "installing by pip into build/venv: $python_packages"
    mkdir -p build
    [ -x build/venv/bin/python ] || quietly /usr/bin/python3 -m venv build/venv
    # shellcheck disable=SC2086
    quietly build/venv/bin/python -m pip install --disable-pip-version-check -q $python_packages
    echo "$python_packages" >$stamp
}

# need_node FOLDER PACKAGE…: by npm, once per list: the stamp holds the list it was made from.
need_node() {
    local folder=build/$1 stamp=build/$1/.packages
    shift
    [ "$(cat "$stamp" 2>/dev/null)" != "$*" ] || return 0
    echo "installing by npm into $folder: $*"
    mkdir -p "$folder"
    quietly npm install --prefix "$folder" --no-audit --no-fund --loglevel=error "$@"
    echo "$*" >"$stamp"
}

need_node_packages() {
    # shellcheck disable=SC2086
    need_node npm $node_packages
}

# Peers of the benches, apart: the tests need none of them.
need_node_bench_packages() {
    # shellcheck disable=SC2086
    need_node npm-bench $node_bench_packages
}

# The dashboard is bundled by a node that Debian 12 does not have; meson looks for this one, too.
need_newer_node() {
    node -e 'const [a, b] = process.versions.node.split(".").map(Number)
        process.exit(a > 20 || (a === 20 && b >= 19) ? 0 : 1)' 2>/dev/null || need_node node node@22
}
