#!/bin/sh
# First start of the volume: a database and a user for Airflow, and one for Hive's metastore.
set -eu
for name in airflow hive; do
  variable=$(echo "$name" | tr '[:lower:]' '[:upper:]')_DB_PASSWORD
  # psql takes the password from the environment: everybody may list arguments
  psql --quiet --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --set user="$name" --set variable="$variable" <<'SQL'
\getenv password :variable
CREATE USER :"user" PASSWORD :'password';
CREATE DATABASE :"user" OWNER :"user";
REVOKE CONNECT ON DATABASE :"user" FROM PUBLIC;
SQL
done
