#!/usr/bin/env bash
# docker/restore.sh FOLDER: brings a backup of docker/backup.sh into a deployment without data. Then: docker compose up --wait
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
folder=$(cd "${1:?usage: docker/restore.sh FOLDER}" && pwd)
env_file=${COMPOSE_ENV_FILES:-.env}
fail() {
  echo "Error: $*" >&2
  exit 1
}

(cd "$folder" && sha256sum --quiet --check SHA256SUMS) || fail "$folder is no whole backup: see the lines above; nothing was changed"
if [ ! -e "$env_file" ]; then
  install -m 600 "$folder/env" "$env_file" # the Fernet key and the passwords belong to the databases
fi
cmp -s <(grep FERNET "$folder/env") <(grep FERNET "$env_file") ||
  fail "$env_file has another Fernet key than the backup: move it away, the backup brings its own"
for volume in $(docker compose config --format json | python3 -c 'import json, sys; print(*(v["name"] for v in json.load(sys.stdin)["volumes"].values()))'); do
  ! docker volume inspect "$volume" >/dev/null 2>&1 ||
    fail "the volume $volume exists: a backup is restored into an empty deployment only. If its data may go: docker compose --profile '*' down --volumes"
done

unpack() { docker compose run --rm --no-deps -T --entrypoint tar "$1" -C /data -xf -; }
unpack namenode <"$folder/name.tar"
unpack datanode <"$folder/blocks.tar"
docker compose up --wait postgres
for database in airflow hive; do
  docker compose exec -T postgres sh -c "PGPASSWORD=\$POSTGRES_PASSWORD pg_restore --username postgres --exit-on-error --dbname $database" \
    <"$folder/$database.dump"
done
echo "restored; next: docker compose up --wait"
