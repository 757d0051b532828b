#!/bin/bash
# Builds the libwebsockets that Hawser links, once, into a cache, and prints its prefix.
#
#   lws.sh            build unless the cache has it
#   lws.sh --refresh  build again, with the suite's current Debian revision
#
# Debian 12's own libwebsockets has no libevent backend, compiles HTTP/2 in, and gets no
# security updates. Debian 13's source builds on both, so that is what every machine links,
# with only the code in it that Hawser uses: it all runs before authentication. The patches beside
# this script go on top of Debian's.
set -euo pipefail

HERE=$(dirname "$(readlink -f "$0")")
readonly HERE
readonly UPSTREAM=4.3.5
readonly SUITE=trixie
readonly KEYRINGS=/usr/share/keyrings
readonly CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/hawser

readonly FLAGS="-fstack-protector-strong -D_FORTIFY_SOURCE=2 -ffunction-sections -fdata-sections"
readonly OPTIONS=(
	-DCMAKE_BUILD_TYPE=RelWithDebInfo
	-DCMAKE_POSITION_INDEPENDENT_CODE=ON
	-DCMAKE_INSTALL_LIBDIR=lib
	-DDISABLE_WERROR=ON
	# One static library, driven by our event base.
	-DLWS_WITH_STATIC=ON
	-DLWS_WITH_SHARED=OFF
	-DLWS_WITH_LIBEVENT=ON
	-DLWS_WITH_EVLIB_PLUGINS=OFF
	-DLWS_MAX_SMP=1
	# Servers and clients, TLS, IPv6, HTTP proxies; nothing else that speaks to the network.
	-DLWS_WITH_SSL=ON
	-DLWS_IPV6=ON
	-DLWS_CLIENT_HTTP_PROXYING=ON
	-DLWS_WITH_HTTP2=OFF
	-DLWS_WITHOUT_EXTENSIONS=ON
	-DLWS_WITH_SOCKS5=OFF
	-DLWS_WITH_UDP=OFF
	-DLWS_WITH_NETLINK=OFF
	-DLWS_ROLE_RAW_FILE=OFF
	-DLWS_ROLE_MQTT=OFF
	-DLWS_ROLE_DBUS=OFF
	-DLWS_WITH_CGI=OFF
	-DLWS_WITH_HTTP_BASIC_AUTH=OFF
	-DLWS_WITH_HTTP_DIGEST_AUTH=OFF
	-DLWS_WITH_SECURE_STREAMS=OFF
	-DLWS_WITH_SYS_SMD=OFF
	-DLWS_SSL_CLIENT_USE_OS_CA_CERTS=OFF
	# Every handshake shows the certificates anew: a renewed or refused one counts at once.
	-DLWS_WITH_TLS_SESSIONS=OFF
	# Parsers and decoders that Hawser never calls.
	-DLWS_WITH_LEJP=OFF
	-DLWS_WITH_LEJP_CONF=OFF
	-DLWS_WITH_CBOR=OFF
	-DLWS_WITH_COSE=OFF
	-DLWS_WITH_LHP=OFF
	-DLWS_WITH_JSONRPC=OFF
	-DLWS_WITH_GZINFLATE=OFF
	-DLWS_WITH_UPNG=OFF
	-DLWS_WITH_JPEG=OFF
	-DLWS_WITH_DLO=OFF
	-DLWS_WITH_STRUCT_JSON=OFF
	-DLWS_WITH_STRUCT_SQLITE3=OFF
	-DLWS_WITH_ZIP_FOPS=OFF
	-DLWS_WITH_LWSAC=OFF
	-DLWS_WITH_CACHE_NSCOOKIEJAR=OFF
	-DLWS_WITH_DIR=OFF
	-DLWS_WITH_CONMON=OFF
	-DLWS_WITH_HTTP_STREAM_COMPRESSION=OFF
	-DLWS_WITHOUT_DAEMONIZE=ON
	-DLWS_WITHOUT_TESTAPPS=ON
	-DLWS_WITHOUT_TEST_SERVER=ON
	-DLWS_WITHOUT_TEST_CLIENT=ON
	-DLWS_WITHOUT_TEST_PING=ON
	-DLWS_WITH_MINIMAL_EXAMPLES=OFF
)

say() { printf 'lws: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

cache_key() {
	{
		printf '%s\n' "$FLAGS" "-ffile-prefix-map" "${OPTIONS[@]}"
		cat "$HERE"/lws-*.patch
		"${CC:-cc}" --version | sed -n 1p
		"${CC:-cc}" -dumpmachine
		pkg-config --modversion openssl libevent
	} | sha256sum | cut -c 1-12
}

# The machine's apt sources, one "URIS<tab>SUITES<tab>SIGNED-BY<tab>TRUSTED" row for each that
# serves binary packages of `main`. Both formats of sources.list(5) are understood; a key that
# is embedded in its stanza is left out, since a row can't hold it.
apt_sources() {
	local etc files=()
	etc=$(apt-config shell D Dir::Etc/d | sed "s/^D='\(.*\)'$/\1/")
	etc=${etc:-/etc/apt/}
	shopt -s nullglob
	files=("$etc"/sources.list "$etc"/sources.list.d/*.list)
	for f in "${files[@]}"; do
		[ -r "$f" ] || continue
		awk '
		$1 == "deb" {
			sub(/^[ \t]*deb[ \t]+/, ""); signed = ""; trusted = ""
			if (match($0, /\[[^]]*\]/)) {
				n = split(substr($0, RSTART + 1, RLENGTH - 2), opt, " ")
				$0 = substr($0, RSTART + RLENGTH)
				for (i = 1; i <= n; i++) {
					if (opt[i] ~ /^signed-by=/) signed = substr(opt[i], 11)
					if (opt[i] ~ /^trusted=/) trusted = substr(opt[i], 9)
				}
			}
			for (i = 3; i <= NF; i++)
				if ($i == "main")
					printf "%s\t%s\t%s\t%s\n", $1, $2, signed, trusted
		}' "$f"
	done
	for f in "$etc"/sources.list.d/*.sources; do
		[ -r "$f" ] || continue
		awk '
		function flush() {
			if (" " v["types"] " " ~ / deb / && " " v["components"] " " ~ / main / &&
			    v["enabled"] !~ /^(no|false|0)$/)
				printf "%s\t%s\t%s\t%s\n", v["uris"], v["suites"],
				    v["signed-by"] ~ /^\// ? v["signed-by"] : "", v["trusted"]
			delete v
		}
		/^#/ { next }
		/^[ \t]*$/ { flush(); next }
		/^[ \t]/ { sub(/^[ \t]+/, ""); v[key] = v[key] " " $0; next }
		{
			key = tolower(substr($0, 1, index($0, ":") - 1))
			val = substr($0, index($0, ":") + 1)
			gsub(/^[ \t]+|[ \t]+$/, "", val)
			v[key] = val
		}
		END { flush() }' "$f"
	done
}

# Prints a deb-src stanza for SUITE$1 from the source that gives this machine its own
# distribution$1; fails when there is none.
source_stanza() {
	local suffix=$1 codename uris suites signed trusted suite
	codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-$SUITE}")
	while IFS='|' read -r uris suites signed trusted; do
		for suite in $suites; do
			case $suite in
			"$codename$suffix" | "oldstable$suffix" | "stable$suffix" | "$SUITE$suffix") ;;
			*) continue ;;
			esac
			# A keyring of one older release knows nothing of SUITE's keys.
			case $signed in
			*/debian-archive-*) signed=$KEYRINGS/debian-archive-keyring.gpg ;;
			esac
			printf 'Types: deb-src\nURIs: %s\nSuites: %s\nComponents: main\n' \
				"$uris" "$SUITE$suffix"
			[ -z "$signed" ] || printf 'Signed-By: %s\n' "$signed"
			[ -z "$trusted" ] || printf 'Trusted: %s\n' "$trusted"
			echo
			return 0
		done
	done < <(apt_sources | tr '\t' '|')
	return 1
}

# A machine that takes no security updates, as one fresh from debootstrap, has them all the same
# beside the archive that it names, if that mirror carries them.
security_beside_main() {
	local apt=$1
	sed -n '/^URIs:.*\/debian\/*$/,/^$/ { s,^\(URIs:.*/debian\)/*$,\1-security,; s/^Suites:.*/&-security/; p; }' \
		"$apt/main.sources" | sed '1i Types: deb-src' > "$apt/security.sources"
	grep -q '^URIs:' "$apt/security.sources" &&
		apt-get -c "$apt/conf" -o Dir::Etc::SourceList="$apt/security.sources" -qq update \
			> /dev/null 2>&1
}

# Downloads the upstream tarball and Debian's patches into $1, through apt's signed index but
# in an apt directory of our own: the machine's sources and lists stay as they are.
fetch() {
	local dir=$1 apt=$1/apt archive version
	mkdir -p "$apt"/{lists/partial,cache/archives/partial}
	source_stanza "" > "$apt/main.sources" ||
		die "no Debian mirror among this machine's apt sources"
	# Hooks of the machine's configuration act on the machine's lists, not on ours.
	cat > "$apt/conf" <<-CONF
		#clear APT::Update::Pre-Invoke;
		#clear APT::Update::Post-Invoke;
		#clear APT::Update::Post-Invoke-Success;
		Dir::State "$apt";
		Dir::State::Lists "$apt/lists";
		Dir::State::Status "/var/lib/dpkg/status";
		Dir::Cache "$apt/cache";
		Dir::Etc::SourceList "$apt/all.sources";
		Dir::Etc::SourceParts "-";
		APT::Sandbox::User "root";
		APT::Get::Only-Source "true";
	CONF
	source_stanza -security > "$apt/security.sources" || security_beside_main "$apt" ||
		rm "$apt/security.sources"
	cat "$apt"/{security,main}.sources > "$apt/all.sources" 2> "$apt/absent" || :
	apt-get -c "$apt/conf" -qq update >&2

	for version in $(revisions "$apt"); do
		if fetch_part "$dir" --tar-only "$version" && fetch_part "$dir" --diff-only "$version"; then
			echo "$version" > "$dir/version"
			rm -rf "$apt"
			return
		fi
	done
	die "the mirror has no libwebsockets $UPSTREAM of $SUITE"
}

# Debian revisions of the wanted upstream version, the newest first.
revisions() {
	apt-cache -c "$1/conf" showsrc libwebsockets |
		sed -n "s/^Version: \($UPSTREAM-.*\)/\1/p" | sort -u -r -V
}

# The tarball of a security update may lie in the main archive alone, and the update itself
# in the security archive alone although both list it: each part is looked for in both. The
# checksums are in the signed index whichever is asked.
fetch_part() {
	local dir=$1 part=$2 version=$3 archive
	for archive in security main; do
		[ -e "$dir/apt/$archive.sources" ] || continue
		(cd "$dir" && apt-get -c "$dir/apt/conf" \
			-o Dir::Etc::SourceList="$dir/apt/$archive.sources" \
			-qq source --download-only "$part" "libwebsockets=$version") \
			>> "$dir/fetch.log" 2>&1 && return
	done
	say "cannot fetch $version:"
	cat "$dir/fetch.log" >&2
	return 1
}

unpack() {
	local dir=$1 patch
	mkdir "$dir/src"
	tar -xf "$dir"/libwebsockets_*.orig.tar.* -C "$dir/src" --strip-components=1
	tar -xf "$dir"/libwebsockets_*.debian.tar.* -C "$dir/src"
	while read -r patch _; do
		case $patch in '' | '#'*) continue ;; esac
		patch -d "$dir/src" -p1 -s -i "debian/patches/$patch" >&2
	done < "$dir/src/debian/patches/series"
	for patch in "$HERE"/lws-*.patch; do
		patch -d "$dir/src" -p1 -s -i "$patch" >&2
	done
}

# Configured for its final place but installed under DESTDIR and then renamed: nobody ever sees
# half a library.
build() {
	local dir=$1 prefix=$2
	{
		cmake -S "$dir/src" -B "$dir/obj" -G Ninja -DCMAKE_INSTALL_PREFIX="$prefix" \
			"-DCMAKE_C_FLAGS=$FLAGS -ffile-prefix-map=$dir/=" "${OPTIONS[@]}" &&
			cmake --build "$dir/obj" &&
			DESTDIR=$dir/root cmake --install "$dir/obj"
	} > "$dir/log" 2>&1 || {
		tail -n 40 "$dir/log" >&2
		die "libwebsockets does not build"
	}
	cp "$dir/version" "$dir/root$prefix/debian-version"
	rm -rf "$prefix"
	mv "$dir/root$prefix" "$prefix"
}

main() {
	local prefix work refresh=${1:-}
	case $refresh in '' | --refresh) ;; *) die "usage: lws.sh [--refresh]" ;; esac
	prefix=$CACHE/lws-$UPSTREAM-$(cache_key)
	mkdir -p "$CACHE"
	exec 9> "$CACHE/lws.lock"
	flock 9
	if [ ! -e "$prefix/debian-version" ] || [ "$refresh" = --refresh ]; then
		say "building libwebsockets $UPSTREAM into $prefix"
		work=$(mktemp -d "$CACHE/lws-work.XXXXXX")
		# shellcheck disable=SC2064 # work is local: it must be expanded now
		trap "rm -rf '$work'" EXIT
		fetch "$work"
		unpack "$work"
		build "$work" "$prefix"
		say "built $(cat "$prefix/debian-version")"
	fi
	ln -sfn "$(basename "$prefix")" "$CACHE/lws"
	echo "$prefix"
}

main "$@"
