#!/usr/bin/env bash
# ./run env [--exchange upbit|replica] [--executor local|celery] [--backup FOLDER|none]
# Writes .env for docker compose (mode 600): random secrets where there are none yet, and what was chosen. What is
# there stays: the databases know the passwords of the first start.
set -euo pipefail
file=$1
shift
usage() {
  sed -n '2,4s/^# //p' "${BASH_SOURCE[0]}"
}
fail() {
  echo "Error: $*" >&2
  exit 2
}

exchange="" executor="" backup=""
while [ $# -gt 0 ]; do
  case $1 in
    --exchange) exchange=${2:-nothing} ;;
    --executor) executor=${2:-nothing} ;;
    --backup) backup=${2:?--backup wants a folder, or none} ;;
    -h | --help)
      usage
      exit
      ;;
    *) fail "no option '$1'; there is: --exchange upbit|replica, --executor local|celery, --backup FOLDER|none" ;;
  esac
  shift $(($# > 1 ? 2 : 1))
done
case $exchange in "" | upbit | replica) ;; *) fail "--exchange is upbit or replica, not '$exchange'" ;; esac
case $executor in "" | local | celery) ;; *) fail "--executor is local or celery, not '$executor'" ;; esac

umask 077
touch "$file"
chmod 600 "$file"
value() { sed -n "s/^$1=//p" "$file" | tail -n 1; }
drop() { # NAME
  local fresh
  fresh=$(mktemp "$file.XXXXXX")
  sed "/^$1=/d" "$file" >"$fresh"
  mv "$fresh" "$file"
}
put() { # NAME VALUE
  drop "$1"
  echo "$1=$2" >>"$file"
}
random() { head -c "$1" /dev/urandom | base64 | tr -d '\n' | tr '+/' '-_'; }

made=0
for name in POSTGRES_PASSWORD AIRFLOW_DB_PASSWORD METASTORE_DB_PASSWORD REDIS_PASSWORD AIRFLOW_ADMIN_PASSWORD \
  AIRFLOW_API_SECRET AIRFLOW_JWT_SECRET HIVE_PASSWORD HIVE_READER_PASSWORD FLASK_TOKEN AIRFLOW_FERNET_KEY; do
  if [ -z "$(value $name)" ]; then
    # the Fernet key is base64 of 32 bytes; Airflow signs with SHA-512, which wants keys of 64 characters
    [ $name = AIRFLOW_FERNET_KEY ] && secret=$(random 32) || secret=$(random 48)
    put $name "$secret"
    made=$((made + 1))
  fi
done

# an executor that is not given stays as it is
[ -n "$executor" ] || case $(value AIRFLOW_EXECUTOR) in CeleryExecutor) executor=celery ;; *) executor=local ;; esac
[ -n "$exchange" ] || case $(value UPBIT_ELT_DATASET) in replica) exchange=replica ;; *) exchange=upbit ;; esac
profiles=$(value COMPOSE_PROFILES | tr ',' '\n' | sed -E '/^(replica|celery|backup|)$/d' | paste -sd, -) # what else was added stays
if [ $exchange = replica ]; then
  put UPBIT_BASE_URL http://replica:8765
  put UPBIT_ELT_DATASET replica
  profiles=${profiles:+$profiles,}replica
elif [ "$(value UPBIT_ELT_DATASET)" = replica ]; then
  drop UPBIT_BASE_URL
  drop UPBIT_ELT_DATASET
fi
if [ $executor = celery ]; then
  put AIRFLOW_EXECUTOR CeleryExecutor
  profiles=${profiles:+$profiles,}celery
else
  put AIRFLOW_EXECUTOR LocalExecutor
fi
case $backup in # a folder of this machine, made here so that it is its user's
  "") ;;
  none) drop BACKUP_FOLDER ;;
  *)
    mkdir -p "$backup" || fail "no backups can be put into $backup"
    put BACKUP_FOLDER "$(cd "$backup" && pwd)"
    ;;
esac
[ -z "$(value BACKUP_FOLDER)" ] || profiles=${profiles:+$profiles,}backup
put COMPOSE_PROFILES "$profiles"

echo "$file: $made new secrets; exchange $exchange, executor $executor, daily backups: $(value BACKUP_FOLDER | grep . || echo none)"

docker_config=${DOCKER_CONFIG:-${HOME:-}/.docker}/config.json
if [ -n "${https_proxy:-${HTTPS_PROXY:-}}" ] && ! grep -qs httpsProxy "$docker_config"; then
  echo "this shell uses a proxy, but containers do not: name it in $docker_config (proxies, default, httpProxy and httpsProxy)"
fi

# Docker names a port that is taken, not its setting
ours() { # PORT: whether this deployment itself publishes it
  local project=${COMPOSE_PROJECT_NAME:-$(value COMPOSE_PROJECT_NAME)}
  [ -n "$(docker ps --quiet --filter "publish=$1" --filter "label=com.docker.compose.project=${project:-upbit-elt}" 2>/dev/null)" ]
}
address=$(value BIND_ADDRESS)
case $address in "" | 0.0.0.0) address=127.0.0.1 ;; esac
while read -r name default; do
  case $name in # published with a profile only
    WEBHDFS_PORT | DATANODE_PORT) [[ ,$profiles, = *,webhdfs,* ]] || continue ;;
    YARN_PORT) [[ ,$profiles, = *,yarn,* ]] || continue ;;
  esac
  port=$(value "$name")
  port=${port:-$default}
  if (exec 3<>"/dev/tcp/$address/$port") 2>/dev/null && ! ours "$port"; then
    echo "port $port is taken by another program: end it, or set $name in $file to a free one"
  fi
done < <(sed -nE 's/.*\{BIND_ADDRESS[^}]*\}:\$\{([A-Z_]+):-([0-9]+)\}.*/\1 \2/p' "$(dirname "${BASH_SOURCE[0]}")/../docker-compose.yml")
echo "next: docker compose up --wait        (Airflow: user admin, password AIRFLOW_ADMIN_PASSWORD in $file)"
