#!/bin/sh
# Brings Airflow's database to this version; makes the admin (or gives it the password of .env) and the pool.
set -eu
airflow db migrate
airflow users create --username admin --role Admin --firstname admin --lastname admin --email admin@localhost \
  --password "$AIRFLOW_ADMIN_PASSWORD"
airflow users reset-password --username admin --password "$AIRFLOW_ADMIN_PASSWORD"
airflow pools get upbit >/dev/null 2>&1 || airflow pools set upbit 1 "one run at a time asks the exchange"
