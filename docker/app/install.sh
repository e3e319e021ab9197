#!/bin/sh
# The locked packages into /opt/venv. TORCH_INDEX_URL: take torch from there, without the CUDA libraries of the lock.
set -eu
lock=/build/requirements.txt
python -m venv /opt/venv
pip install --quiet --no-cache-dir "uv==0.13.9"
export UV_NO_CACHE=1 UV_LINK_MODE=copy UV_HTTP_TIMEOUT=300 VIRTUAL_ENV=/opt/venv
[ -z "${PIP_INDEX_URL:-}" ] || export UV_DEFAULT_INDEX="$PIP_INDEX_URL"
if [ -n "${TORCH_INDEX_URL:-}" ]; then
  torch=$(grep -oE '^torch==[0-9.]+' "$lock")
  uv pip install --compile-bytecode --default-index "$TORCH_INDEX_URL" "$torch"
  grep -vE '^(torch|triton|nvidia-[a-z0-9-]+|cuda-[a-z0-9-]+)(==|\[)' "$lock" >/build/rest.txt
  lock=/build/rest.txt
fi
uv pip install --compile-bytecode -r "$lock"
