#!/bin/bash
# User data (cloud-init) for a plain Debian 13 or Ubuntu 24.04 machine: Docker, swap, this repository, and the stack.
# Set these three lines; everything else is a default of docker-compose.yml and can be set in .env.
REPOSITORY=        # address to clone, such as https://example.org/you/upbit-elt.git
VERSION=main       # branch or tag
DATA_DEVICE=       # an empty EBS volume for Docker's data, such as /dev/nvme1n1; empty: the root disk
SWAP_GB=4
set -euo pipefail
[ -n "$REPOSITORY" ] || { echo "user data: set REPOSITORY" >&2; exit 1; }

export DEBIAN_FRONTEND=noninteractive
apt-get update
apt-get install -y --no-install-recommends ca-certificates git python3 docker.io docker-buildx
# Ubuntu names Compose 2 docker-compose-v2, Debian 13 docker-compose
apt-get install -y --no-install-recommends docker-compose-v2 || apt-get install -y --no-install-recommends docker-compose
docker compose version --short

if [ -n "$DATA_DEVICE" ] && ! grep -q /var/lib/docker /etc/fstab; then
  blkid "$DATA_DEVICE" || mkfs.ext4 -L docker "$DATA_DEVICE" # a volume that holds a file system is never formatted
  systemctl stop docker.socket docker
  mkdir -p /var/lib/docker
  echo "UUID=$(blkid -s UUID -o value "$DATA_DEVICE") /var/lib/docker ext4 defaults,nofail 0 2" >>/etc/fstab
  mount /var/lib/docker
  systemctl start docker
fi
if [ ! -e /swapfile ]; then # a reserve for the minutes in which a model trains, not a working memory
  fallocate -l "${SWAP_GB}G" /swapfile
  chmod 600 /swapfile
  mkswap /swapfile
  swapon /swapfile
  echo "/swapfile none swap sw 0 0" >>/etc/fstab
  echo "vm.swappiness=10" >/etc/sysctl.d/60-swap.conf
  sysctl -q --system
fi

[ -e /opt/upbit-elt ] || git clone --branch "$VERSION" "$REPOSITORY" /opt/upbit-elt
cd /opt/upbit-elt
./run env
docker compose build
docker compose up --wait --detach
