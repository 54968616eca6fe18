#!/usr/bin/env bash
# Makes build/sysroot/ARCH (libraries of another machine, unpacked from Debian's packages, nothing
# is installed) and build/sysroot/ARCH.cross (what meson must know), for ARCH i386, s390x or arm64.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

arch=${1:?usage: tools/sysroot.sh ARCH}
warn=''
case $arch in
# size_t is smaller than the uint64_t of files there: told, but no error
i386) warn=", '-Wno-error=conversion'" triplet=i386-linux-gnu gcc=i686-linux-gnu-gcc family=x86 cpu=i686 endian=little qemu=qemu-i386 ;;
s390x) triplet=s390x-linux-gnu gcc=s390x-linux-gnu-gcc family=s390x cpu=s390x endian=big qemu=qemu-s390x ;;
arm64) triplet=aarch64-linux-gnu gcc=aarch64-linux-gnu-gcc family=aarch64 cpu=aarch64 endian=little qemu=qemu-aarch64 ;;
*) echo "unknown machine '$arch'" >&2 && exit 2 ;;
esac

packages='libzstd-dev liblz4-dev libssl-dev libsqlite3-dev zlib1g-dev libcmocka-dev libpcre2-dev libjansson-dev uthash-dev'
[ "$arch" != arm64 ] || packages+=' cyclonedds-dev libisal-dev libmicrohttpd-dev libwslay-dev libjpeg-dev libpng-dev libncurses-dev libcurl4-openssl-dev'
root=$PWD/build/sysroot/$arch
[ "$(cat "$root/.packages" 2>/dev/null)" != "$packages" ] || exit 0

# apt with a world of its own: an empty machine of that kind, fed by this machine's sources
rm -rf "$root"
mkdir -p "$root/apt/lists/partial" "$root/apt/archives/partial"
touch "$root/apt/status"
apt=(apt-get -o APT::Architecture="$arch" -o APT::Architectures="$arch"
    -o Dir::State="$root/apt" -o Dir::State::lists="$root/apt/lists"
    -o Dir::State::status="$root/apt/status" -o Dir::Cache="$root/apt"
    -o Debug::NoLocking=1 -o APT::Sandbox::User=root)
"${apt[@]}" update || true # sources without this architecture complain
# shellcheck disable=SC2086
"${apt[@]}" install -y --no-install-recommends --download-only $packages libc6-dev

for deb in "$root"/apt/archives/*.deb; do
    dpkg-deb -x "$deb" "$root"
done
rm -rf "$root/apt" "$root/usr/share/doc" "$root/usr/share/man"
# links to /lib/… would lead into this machine
find "$root" -type l -lname '/*' | while read -r link; do
    ln -sfn "$root$(readlink "$link")" "$link"
done

cat >"$root.cross" <<TEXT
[binaries]
c = '$gcc'
ar = '${gcc%gcc}ar'
strip = '${gcc%gcc}strip'
pkgconfig = 'pkg-config'
exe_wrapper = ['$qemu', '-L', '$root']

[properties]
sys_root = '$root'
needs_exe_wrapper = true
pkg_config_libdir = ['$root/usr/lib/$triplet/pkgconfig', '$root/usr/share/pkgconfig']

[built-in options]
c_args = ['--sysroot=$root', '-isystem', '$root/usr/include/$triplet'$warn]
c_link_args = ['--sysroot=$root', '-L$root/usr/lib/$triplet', '-L$root/lib/$triplet', '-Wl,-rpath-link,$root/usr/lib/$triplet:$root/lib/$triplet']

[host_machine]
system = 'linux'
cpu_family = '$family'
cpu = '$cpu'
endian = '$endian'
TEXT
echo "$packages" >"$root/.packages"
