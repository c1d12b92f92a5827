#!/bin/sh
# Make what `make test-images` builds on where no registry of images can be reached: stand_in.sh PYTHON IMAGE
# It is Debian bookworm from Debian's packages, with the interpreter PYTHON at the places of Docker's python images, which
# are made of the same. It needs root, mmdebstrap and buildah.
set -eu
python=$1 image=$2
version=$("$python" -c 'import sys; print("python%d.%d" % sys.version_info[:2])')
prefix=$("$python" -c 'import sys; print(sys.base_prefix)')
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
mmdebstrap --quiet --variant=minbase bookworm "$root" --include=ca-certificates,binutils,bash,libssl3,libffi8,\
libsqlite3-0,libbz2-1.0,liblzma5,zlib1g,libexpat1,libuuid1,libreadline8
cp "$prefix/bin/$version" "$root/usr/local/bin/"
ln -s "$version" "$root/usr/local/bin/python3"
ln -s python3 "$root/usr/local/bin/python"
cp -a "$prefix"/lib/libpython3*.so* "$root/usr/local/lib/"
cp -a "$prefix/lib/$version" "$root/usr/local/lib/"
rm -rf "$root/usr/local/lib/$version/test" "$root/usr/local/lib/$version"/config-* "$root/usr/local/lib/$version/site-packages"
mkdir "$root/usr/local/lib/$version/site-packages"
find "$root/usr/local" -name __pycache__ -prune -exec rm -rf {} +
chroot "$root" ldconfig
container=$(buildah from scratch)
mount=$(buildah mount "$container")
cp -a "$root/." "$mount/"
buildah umount "$container" > /dev/null
buildah config --env PATH=/usr/local/bin:/usr/bin:/bin "$container"
buildah commit --quiet "$container" "$image" > /dev/null
buildah rm "$container" > /dev/null
