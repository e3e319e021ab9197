#!/bin/sh
# Brings Airflow's database to this version; makes the admin (or gives it the password of .env) and the pool.
set -eu
airflow db migrate
python /opt/upbit-elt/docker/app/airflow_init.py
