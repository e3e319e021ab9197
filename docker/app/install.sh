#!/bin/sh
# The locked packages into /opt/venv; every file, also of what only builds others, is checked against the hashes of the lock.
# TORCH_INDEX_URL: torch from there, without its CUDA libraries. Its files are others than those of the lock:
# torch-cpu.txt has their hashes, where somebody has made it (README says how); without it the version alone is held.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
lock=$here/requirements.txt
python -m venv /opt/venv
pip install --quiet --no-cache-dir --require-hashes -r "$here/requirements-uv.txt"
export UV_NO_CACHE=1 UV_LINK_MODE=copy UV_HTTP_TIMEOUT=300 VIRTUAL_ENV=/opt/venv
[ -z "${PIP_INDEX_URL:-}" ] || export UV_DEFAULT_INDEX="$PIP_INDEX_URL"
install() { uv pip install --compile-bytecode "$@"; }
locked() { install --require-hashes --build-constraints "$lock" "$@"; }
if [ -z "${TORCH_INDEX_URL:-}" ]; then
  locked -r "$lock"
  exit
fi
torch=$(sed -n 's/^\(torch==[^ ]*\).*/\1/p' "$lock")
awk '/^[a-z]/ {skip = $0 ~ /^(torch==|triton|nvidia-|cuda-)/} !skip' "$lock" >"$here/others.txt"
locked -r "$here/others.txt"
if [ ! -e "$here/torch-cpu.txt" ]; then
  echo "install.sh: $torch of $TORCH_INDEX_URL is not checked against a hash: there is no docker/app/torch-cpu.txt" >&2
  install --no-deps --default-index "$TORCH_INDEX_URL" "$torch"
elif grep -q "^$torch" "$here/torch-cpu.txt"; then
  locked --no-deps --default-index "$TORCH_INDEX_URL" -r "$here/torch-cpu.txt"
else
  echo "install.sh: docker/app/torch-cpu.txt is not of $torch: make it again (README, \"A smaller image\")" >&2
  exit 1
fi
