#!/usr/bin/env bash
# docker/backup.sh FOLDER: databases, NameNode image, blocks and .env of the running deployment, into a new folder.
# HDFS is read-only meanwhile, so that every block of the image is there; a live run that fails on it is made up for by
# the next one. The journal goes into the image first, which also keeps it short. docker/restore.sh reads the folder.
set -euo pipefail
given=${1:?usage: docker/backup.sh FOLDER}
fail() {
  echo "Error: $*" >&2
  exit 2
}
umask 077
mkdir -p "$given"
folder=$(cd "$given" && pwd)
[ -z "$(ls -A "$folder")" ] || fail "$folder is not empty; give a new one"
cd "$(dirname "${BASH_SOURCE[0]}")/.."

dfsadmin() { docker compose exec -T namenode /opt/upbit-elt/docker/hadoop/entrypoint.sh dfsadmin "$@"; }
# A file that changes while it is read makes tar say 1.
archive() { # SERVICE FOLDER FILE
  docker compose exec -T "$1" sh -c "tar -C /data --exclude=in_use.lock -cf - $2 || [ \$? = 1 ]" >"$folder/$3"
  [ -s "$folder/$3" ] || fail "nothing came from the service $1: is it running (docker compose ps)? $folder is no backup"
}

case $(dfsadmin -safemode get) in *OFF*) ;; *) fail "HDFS is read-only already, or not running: docker compose ps, docker compose logs namenode" ;; esac
trap 'dfsadmin -safemode leave >&2' EXIT
dfsadmin -safemode enter >&2
dfsadmin -saveNamespace >&2
for database in airflow hive; do
  docker compose exec -T postgres sh -c "PGPASSWORD=\$POSTGRES_PASSWORD pg_dump --username postgres --format custom $database" \
    >"$folder/$database.dump"
done
archive namenode hdfs/name name.tar
archive datanode hdfs/blocks blocks.tar
dfsadmin -safemode leave >&2
trap - EXIT
cp "${COMPOSE_ENV_FILES:-.env}" "$folder/env"
(cd "$folder" && sha256sum airflow.dump hive.dump name.tar blocks.tar env >SHA256SUMS)
du -sh "$folder"
