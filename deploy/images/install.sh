#!/bin/sh
# The steps of the Dockerfile's build stages: install.sh tools | dependencies LOCK | sbom | product | triton | backends.
# Everything that comes from a registry is in a lock file with its hashes.
set -eu

TOOLS=/opt/tools VENV=/opt/venv PRODUCT=/opt/cutstream SBOM=/opt/sbom

uv() { "$TOOLS/bin/uv" --no-cache --quiet "$@"; }
# The code of an image never changes, so its byte code is not compared with it, and no time of a file matters.
byte_code() { "$VENV/bin/python" -m compileall -q -j 0 --invalidation-mode unchecked-hash "$1"; }

case "$1" in
tools)
  python3 -m venv "$TOOLS"
  "$TOOLS/bin/python" -m pip install --quiet --no-cache-dir --disable-pip-version-check --require-hashes -r requirements/uv.txt
  uv pip install --python "$TOOLS/bin/python" --require-hashes -r requirements/images.txt
  ;;
dependencies)
  python3 -m venv --without-pip "$VENV"
  uv pip install --python "$VENV/bin/python" --link-mode copy --require-hashes -r "$2"
  packages=$("$VENV/bin/python" -c 'import sysconfig; print(sysconfig.get_path("platlib"))')
  echo "$PRODUCT" > "$packages/cutstream.pth"
  python3 deploy/images/trim.py "$packages"
  byte_code "$packages"
  ;;
triton)
  # Triton's binary with its Python back end. Its Python dependencies are left out, as in `make setup`.
  uv pip install --python "$VENV/bin/python" --link-mode copy --require-hashes --no-deps -r requirements/triton.txt
  ;;
sbom)
  mkdir -p "$SBOM"
  "$TOOLS/bin/cyclonedx-py" environment --pyproject pyproject.toml --output-reproducible --output-format JSON \
    --output-file "$SBOM/python.cdx.json" "$VENV/bin/python"
  ;;
product)
  "$TOOLS/bin/python" -m hatchling build --target wheel
  uv pip install --python "$VENV/bin/python" --target "$PRODUCT" --no-deps dist/*.whl
  byte_code "$PRODUCT"
  # What the profiles are called. The networks' weights are for Triton alone.
  for config in model_repository/*/config.pbtxt; do
    mkdir -p "$PRODUCT/$(dirname "$config")"
    cp "$config" "$PRODUCT/$config"
  done
  mkdir -p "$NUMBA_CACHE_DIR"
  "$VENV/bin/python" -I -m cutstream.arrays.compiled
  ;;
backends)
  # Where nothing but /tmp can be written, and nothing there be run, Triton cannot assemble them itself.
  "$VENV/bin/python" -I -m deploy.triton.container assemble
  ;;
*)
  echo "unknown step: $1" >&2
  exit 2
  ;;
esac
