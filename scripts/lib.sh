# scripts/lib.sh - what quickstart, test and bench share: messages, packages,
# the build.  Sourced by bash; sets nothing but functions and $TOP.
TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

say() { printf '%s\n' "==> $*"; }
die() { printf '%s\n' "${0##*/}: $*" >&2; exit 1; }

# packages_named base|guest|all: the names of scripts/packages.
packages_named() {
	awk -v want="$1" '/^[^#]/ && NF && (want == "all" || $2 == (want == "base" ? "" : want)) { print $1 }' \
		"$TOP/scripts/packages"
}

# packages_missing base|guest|all: those that are not installed.
packages_missing() {
	local have p
	have=" $(dpkg-query -W -f '${db:Status-Abbrev}${Package}\n' 2>/dev/null |
		awk '/^ii/ { print substr($0, 4) }' | tr '\n' ' ') "
	for p in $(packages_named "$1"); do
		case $have in *" $p "*) ;; *) printf '%s\n' "$p" ;; esac
	done
}

# packages_install base|all: install what is missing, and nothing else.
packages_install() {
	local missing
	command -v dpkg-query >/dev/null ||
		die "this is no Debian system; install what scripts/packages lists and what it builds with, then run again"
	missing=$(packages_missing "$1" | tr '\n' ' ')
	[ -n "$missing" ] || return 0
	if [ "$(id -u)" != 0 ]; then
		die "these packages are missing and installing them takes root:
  sudo apt-get install --no-install-recommends $missing
then run this again"
	fi
	say "installing: $missing"
	apt_get install -y --no-install-recommends $missing ||
		die "apt-get could not install: $missing
check /etc/apt/sources.list and the network, then run this again"
}

# apt_get ARGS: quiet apt-get; when it fails, once more after apt-get update.
apt_get() {
	local log
	log=$(mktemp)
	if ! DEBIAN_FRONTEND=noninteractive apt-get -qq "$@" >"$log" 2>&1; then
		DEBIAN_FRONTEND=noninteractive apt-get -qq update >>"$log" 2>&1 &&
			DEBIAN_FRONTEND=noninteractive apt-get -qq "$@" >>"$log" 2>&1 || {
			tail -n 20 "$log" >&2
			rm -f "$log"
			return 1
		}
	fi
	rm -f "$log"
}

# build_in DIR [meson options]: configure once, then build; quiet unless it fails.
build_in() {
	local dir=$1 log
	shift
	log=$(mktemp)
	if [ ! -f "$dir/build.ninja" ]; then
		rm -rf "$dir"
		meson setup "$dir" "$TOP" "$@" >"$log" 2>&1 || {
			tail -n 40 "$log" >&2
			rm -f "$log"
			return 1
		}
	fi
	ninja -C "$dir" >"$log" 2>&1 || {
		tail -n 60 "$log" >&2
		rm -f "$log"
		return 1
	}
	rm -f "$log"
}
