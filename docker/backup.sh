#!/usr/bin/env bash
# docker/backup.sh FOLDER: databases, NameNode image, blocks and .env of the running deployment, into a new folder.
# Nothing is stopped: files in HDFS are never changed, and what is written meanwhile is missing at worst; the first run
# after a restore asks the exchange for it again. docker/restore.sh reads it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
folder=${1:?usage: docker/backup.sh FOLDER}
if [ -e "$folder" ] && [ -n "$(ls -A "$folder")" ]; then
  echo "Error: $folder is not empty; give a new one" >&2
  exit 2
fi
umask 077
mkdir -p "$folder"

# A file that grows while it is read (the NameNode's journal) makes tar say 1.
archive() { # SERVICE FOLDER
  docker compose exec -T "$1" tar -C /data --exclude=in_use.lock -cf - "$2" || [ $? = 1 ]
}
# The databases first and the blocks last: what a table names is then in the image, and its blocks are there.
for database in airflow hive; do
  docker compose exec -T postgres sh -c "PGPASSWORD=\$POSTGRES_PASSWORD pg_dump --username postgres --format custom $database" \
    >"$folder/$database.dump"
done
archive namenode hdfs/name >"$folder/name.tar"
archive datanode hdfs/blocks >"$folder/blocks.tar"
cp "${COMPOSE_ENV_FILES:-.env}" "$folder/env"
(cd "$folder" && sha256sum airflow.dump hive.dump name.tar blocks.tar env >SHA256SUMS)
du -sh "$folder"
