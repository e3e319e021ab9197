#!/usr/bin/env bash
# docker/restore.sh FOLDER/TIME: brings a backup (of docker/backup.sh, or one of the daily ones) into a deployment without data. Then: docker compose up --wait
set -euo pipefail
folder=$(cd "${1:?usage: docker/restore.sh FOLDER}" && pwd)
cd "$(dirname "${BASH_SOURCE[0]}")/.."
env_file=${COMPOSE_ENV_FILES:-.env}
fail() {
  echo "Error: $*" >&2
  exit 1
}

(cd "$folder" && sha256sum --quiet --check SHA256SUMS) || fail "$folder is not a complete backup: see the lines above; nothing was changed"
if [ ! -e "$env_file" ]; then
  install -m 600 "$folder/env" "$env_file" # the Fernet key and the passwords belong to the databases
fi
cmp -s <(grep FERNET "$folder/env") <(grep FERNET "$env_file") ||
  fail "$env_file has another Fernet key than the backup: move it away, the backup brings its own"
project=$(docker compose config --format json | sed -n '1,3s/^ *"name": "\(.*\)",$/\1/p')
[ -n "$project" ] || fail "docker compose config does not say the project's name"
volumes=$(docker volume ls --quiet --filter "label=com.docker.compose.project=$project")
[ -z "$volumes" ] ||
  fail "the volume ${volumes%%[[:space:]]*} exists: a backup is restored into an empty deployment only. If its data may go: docker compose --profile '*' down --volumes"

# whoever restores onto a new machine has no images yet, and `run --no-deps` builds none
docker compose config --images | grep '^upbit-elt/' | sort -u | xargs docker image inspect >/dev/null 2>&1 || docker compose build
unpack() { docker compose run --rm --no-deps -T --entrypoint tar "$1" -C /data -xf -; }
if [ -e "$folder/release.json" ]; then # a release that does not read it says so before anything else
  state() { docker compose run --rm --no-deps -T --entrypoint sh airflow-init -c "umask 077; cat >/data/state/$1 && python -m upbit_elt.release" <"$folder/$1"; }
  state release.json
  [ ! -e "$folder/webhook" ] || state webhook
fi
if [ -e "$folder/name.tar" ]; then # of 0.1.0: NameNode image and blocks, as they were on the disk
  unpack namenode <"$folder/name.tar"
  unpack datanode <"$folder/blocks.tar"
else
  docker compose up --wait --detach namenode datanode
  docker compose run --rm --no-deps -T hdfs-init >&2
  docker compose run --rm --no-deps -T hdfs-init python /opt/upbit-elt/docker/app/backup.py restore-lake <"$folder/lake.tar"
fi
docker compose up --wait postgres
for database in airflow hive; do
  docker compose exec -T postgres sh -c "PGPASSWORD=\$POSTGRES_PASSWORD pg_restore --username postgres --exit-on-error --dbname $database" \
    <"$folder/$database.dump"
done
echo "restored; next: docker compose up --wait"
