#!/bin/sh
# The locked packages into /opt/venv. TORCH_INDEX_URL: torch from there, without the CUDA libraries of the lock.
set -eu
python -m venv /opt/venv
pip install --quiet --no-cache-dir "uv==0.13.9"
export UV_NO_CACHE=1 UV_LINK_MODE=copy UV_HTTP_TIMEOUT=300 VIRTUAL_ENV=/opt/venv
[ -z "${PIP_INDEX_URL:-}" ] || export UV_DEFAULT_INDEX="$PIP_INDEX_URL"
if [ -z "${TORCH_INDEX_URL:-}" ]; then
  uv pip install --compile-bytecode -r /build/requirements.txt
else
  grep -vE '^(triton|nvidia-|cuda-)' /build/requirements.txt >/build/cpu.txt
  uv pip install --compile-bytecode --index "$TORCH_INDEX_URL" -r /build/cpu.txt
fi
