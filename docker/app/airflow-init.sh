#!/bin/sh
# Brings Airflow's database to this version; makes the admin (or gives it the password of .env) and the pool.
set -eu
airflow db migrate
python /opt/upbit-elt/docker/app/airflow_admin.py
airflow pools get upbit >/dev/null 2>&1 || airflow pools set upbit 1 "one run at a time asks the exchange"
