#!/usr/bin/env bash
# Fills .gpu with what a machine without a network needs for tests/gpu/run.sh: bash tests/gpu/bring.sh [FOLDER]
# Debian's development packages, unpacked (some 20 MB), and SmolLM2 where it is in the cache (98 MB; KINGLET_BRING_MODEL=0
# leaves it out). The folder goes along with the sources; git ignores it.
set -eu
cd "$(dirname "$0")/../.."
folder=$(realpath -m "${1:-.gpu}")
mkdir -p "$folder"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"
(cd "$work" && apt-get -qq download libfmt-dev libfmt9 libutf8proc-dev libcli11-dev libssl-dev nlohmann-json3-dev catch2 2>/dev/null) ||
  { echo "bring: apt-get could not download the packages; this script knows those of Debian 12" >&2; exit 1; }
for file in "$work"/*.deb; do dpkg-deb -x "$file" "$folder"; done
# Static libraries alone, so that no program there meets another version of its own; headers where one path finds them.
rm -rf "$folder"/usr/share/{doc,man,lintian} "$folder"/usr/lib/x86_64-linux-gnu/{libssl*,libcrypto.so*,libutf8proc.so*,engines-3,ossl-modules}
cp -r "$folder"/usr/include/x86_64-linux-gnu/. "$folder"/usr/include/
model=${KINGLET_CACHE:-${HOME:-/root}/.cache/kinglet}/SmolLM2-135M-Instruct.Q4_1.gguf
if [ "${KINGLET_BRING_MODEL:-1}" = 1 ] && [ -e "$model" ]; then cp "$model" "$folder/"; fi
du -sh "$folder"
