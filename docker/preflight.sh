#!/usr/bin/env bash
# Before anything starts: enough memory and disk, and volumes that these versions can read. One line for each trouble.
set -euo pipefail
LAYOUT=1
failed=0
volumes=${VOLUMES:-/volumes}
trouble() {
  echo "preflight: $*" >&2
  failed=1
}

memory=$(awk '/^MemTotal/ {print int($2 / 1024)}' /proc/meminfo)
[ "$memory" -ge "$MIN_MEMORY_MB" ] ||
  trouble "this machine (or Docker's virtual machine) has $memory MB of memory, $MIN_MEMORY_MB are needed: give it more, or set MIN_MEMORY_MB in .env"
disk=$(df --output=avail --block-size=1M "$volumes/name" | tail -n 1 | tr -d ' ')
[ "$disk" -ge "$MIN_DISK_MB" ] ||
  trouble "$disk MB are free where Docker keeps its volumes, $MIN_DISK_MB are needed: make room, or set MIN_DISK_MB in .env"

kind=$(stat --file-system --format=%T "$volumes/name")
case $kind in
  nfs* | smb* | cifs | v9fs | 9p | fuse*)
    trouble "Docker keeps its volumes on a network or Windows drive ($kind), where databases and sockets do not work: give it a disk of this machine"
    ;;
esac

version=$(cat "$volumes/postgres/PG_VERSION" 2>/dev/null || echo 17)
[ "$version" = 17 ] ||
  trouble "the volume 'postgres' was written by PostgreSQL $version, this is 17: go back to the release before, make a backup (docker/backup.sh), and restore it into this one"
# -67 is the layout of Hadoop 3.3 to 3.5 (NameNodeLayoutVersion); the NameNode upgrades nothing by itself
layout=$(sed -n 's/^layoutVersion=//p' "$volumes/name/hdfs/name/current/VERSION" 2>/dev/null || true)
[ "${layout:--67}" = -67 ] ||
  trouble "the volume 'namenode' has HDFS layout $layout, this NameNode writes -67: start it with the release that wrote it, or restore a backup"
# as plugins/upbit_elt/release.py
written=$(sed -n 's/.*"layout": \([0-9]*\).*/\1/p' "$volumes/state/release.json" 2>/dev/null || true)
[ "${written:-0}" -le "$LAYOUT" ] ||
  trouble "release $(sed -n 's/.*"release": "\([^"]*\)".*/\1/p' "$volumes/state/release.json") has written the volumes (layout $written; this one reads up to layout $LAYOUT): start that one or a newer one, or restore a backup of before it into an empty deployment"
exit $failed
