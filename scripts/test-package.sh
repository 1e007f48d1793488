#!/usr/bin/env bash
# Makes the package of what `make build` made, unpacks it, and checks what an operator would run into:
# programs that start, units that systemd takes, arguments and settings that exist.
set -euo pipefail
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0
wrong() { echo "package: $*" >&2; failed=1; }

archive=$(PROFILE=debug OUT="$work" GZIP_LEVEL=-1 scripts/package.sh | tail -1)
tar -C "$work" -xzf "$archive"
root="${archive%.tar.gz}"
(cd "$root" && sha256sum --quiet --check SHA256SUMS) || wrong "the programs are not those of SHA256SUMS"
for program in "$root"/bin/*; do
  "$program" --version >/dev/null || wrong "$(basename "$program") does not run"
done
[ -z "$(find "$root" -perm /022)" ] || wrong "files that others may write: $(find "$root" -perm /022)"

# A unit is checked with the unpacked programs where the installed ones will be.
mkdir "$work/units"
for unit in "$root"/systemd/*.service; do
  sed "s#/usr/local/bin/#$root/bin/#" "$unit" > "$work/units/$(basename "$unit")"
done
if command -v systemd-analyze >/dev/null; then
  said=$(systemd-analyze verify --man=no "$work"/units/*.service 2>&1) || wrong "systemd-analyze: $said"
  # Unknown settings it names, and goes on.
  ! grep -F phala- <<<"$said" || wrong "systemd-analyze has something to say of a unit"
else
  for unit in "$work"/units/*.service; do
    for section in Unit Service Install; do
      grep -qx "\[$section\]" "$unit" || wrong "$(basename "$unit") has no [$section]"
    done
  done
fi
for unit in "$work"/units/*.service; do
  command=$(sed -n 's/^ExecStart=//p' "$unit")
  program=${command%% *}
  help=$("$program" --help)
  for flag in $(grep -oE -- ' --[a-z-]+' <<<"$command"); do
    grep -qE -- "(^| )$flag([ =,]|\$)" <<<"$help" || wrong "$(basename "$unit"): $(basename "$program") knows no $flag"
  done
  # Every variable that it uses has a line in its settings.
  settings=$(sed -n 's#^EnvironmentFile=/etc/phala/##p' "$unit")
  for variable in $(grep -oE '\$\{?[A-Z_]+' <<<"$command" | tr -d '${'); do
    grep -q "^$variable=" "$root/settings/$settings" || wrong "$(basename "$unit"): $settings says no $variable"
  done
done
# Each user that a unit runs as is made by the note.
for user in $(sed -n 's/^User=//p' "$root"/systemd/*.service); do
  grep -q "useradd .* $user\$" "$root/INSTALL.md" || wrong "INSTALL.md makes no user $user"
done
[ "$failed" = 0 ] && echo "package: $(basename "$archive"), $(du -h "$archive" | cut -f1), $(ls "$root/systemd" | wc -l) units"
exit "$failed"
