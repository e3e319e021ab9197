#!/bin/sh
# PostgreSQL answers a query; exit 3 when no answer comes (docker/watchdog.sh), 1 when it says that it starts or refuses.
export PGPASSWORD="$POSTGRES_PASSWORD" PGCONNECT_TIMEOUT=5
pg_isready --quiet --timeout=5 --host=127.0.0.1
case $? in
  0) ;;
  1) exit 1 ;;
  *) echo "PostgreSQL does not answer" && exit 3 ;;
esac
timeout 10 psql --quiet --no-psqlrc --host=127.0.0.1 --username=postgres --output=/dev/null --command="SELECT 1"
case $? in
  0) ;;
  124) echo "PostgreSQL answers no query" && exit 3 ;;
  *) exit 1 ;;
esac
