#!/usr/bin/env bash
# docker/backup.sh FOLDER: a backup of the running deployment now, as a new folder in FOLDER, while everything goes on.
# One a day by itself: ./run env --backup FOLDER && docker compose up --wait. docker/restore.sh reads a backup.
set -euo pipefail
mkdir -p "${1:?usage: docker/backup.sh FOLDER}"
folder=$(cd "$1" && pwd)
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export BACKUP_FOLDER=$folder
made=$(docker compose run --rm --no-deps -T backup python /opt/upbit-elt/docker/app/backup.py once)
du -sh "$folder/${made##*$'\n'}"
