#!/bin/sh
# Refuses what a newer release wrote; brings Airflow's database to this version; makes the admin (or gives it the password of .env) and the pool.
set -eu
python -m upbit_elt.release
airflow db migrate
python /opt/upbit-elt/docker/app/airflow_init.py
