#!/usr/bin/env bash
# Makes one archive of what validators and workers install: programs, systemd units, notes.
#   scripts/package.sh           # release: optimised, without anything that is for development only
#   PROFILE=debug scripts/package.sh   # what `make build` made, to try the package itself
# The last line of stdout is where the archive is: dist/, or OUT.
set -euo pipefail
cd "$(dirname "$0")/.."

profile="${PROFILE:-release}"
target="${CARGO_TARGET_DIR:-target}"
programs=(phala phala-node pherry pruntime pruntime-store)
case "$profile" in
  release)
    # One by one: together, the default features of one would be another's.
    cargo build --locked --release -p phala-node --no-default-features >&2
    cargo build --locked --release -p phala-pruntime >&2
    cargo build --locked --release -p phala-pherry -p phala-cli >&2
    ;;
  debug) ;;
  *) echo "PROFILE is $profile: release or debug is taken" >&2; exit 2 ;;
esac

version=$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml | head -1)
name="phala-$version-$(uname -m)-linux"
[ "$profile" = release ] || name="$name-$profile"
out="${OUT:-dist}"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root="$work/$name"
mkdir -p "$out" "$root/bin"
for program in "${programs[@]}"; do
  [ -x "$target/$profile/$program" ] || { echo "$target/$profile/$program is not there: run make build" >&2; exit 1; }
  strip -o "$root/bin/$program" "$target/$profile/$program"
done
cp -r scripts/package/systemd scripts/package/settings "$root/"
cp scripts/package/INSTALL.md docs/running-a-validator.md docs/running-a-worker.md docs/grafana.json LICENSE LICENSE-NOTES.md "$root/"
(cd "$root" && sha256sum bin/* > SHA256SUMS)
chmod -R u=rwX,go=rX "$root"
# The same files give the same archive.
stamp=$(git log -1 --format=%ct 2>/dev/null || echo 0)
tar --sort=name --owner=0 --group=0 --numeric-owner --mtime="@$stamp" -C "$work" -cf - "$name" |
  gzip -n "${GZIP_LEVEL:--6}" > "$out/$name.tar.gz"
echo "$out/$name.tar.gz"
