#!/bin/bash
# User data (cloud-init) for a plain Debian 13 or Ubuntu 24.04 machine: Docker, swap, this repository, and the stack.
# Set the first three lines; everything else is a default of docker-compose.yml and can be set in .env.
REPOSITORY=        # address to clone, such as https://example.org/you/upbit-elt.git
VERSION=main       # branch or tag
DATA_DEVICE=       # an empty EBS volume for Docker's data, such as /dev/nvme1n1; empty: the root disk
SWAP_GB=4
DISK_GB=25
set -euo pipefail
[ -n "$REPOSITORY" ] || { echo "user data: set REPOSITORY" >&2; exit 1; }

export DEBIAN_FRONTEND=noninteractive
echo 'DPkg::Lock::Timeout "600";' >/etc/apt/apt.conf.d/60-wait # the first boot's own updates hold the lock
apt-get update
apt-get install -y --no-install-recommends ca-certificates git python3 docker.io docker-buildx
# Ubuntu names Compose 2 docker-compose-v2 and has the client in docker.io; Debian 13 has docker-compose and docker-cli
apt-get install -y --no-install-recommends docker-compose-v2 || apt-get install -y --no-install-recommends docker-compose docker-cli
docker compose version --short

if [ -n "$DATA_DEVICE" ] && ! grep -q /var/lib/docker /etc/fstab; then
  blkid "$DATA_DEVICE" || mkfs.ext4 -L docker "$DATA_DEVICE" # a volume that holds a file system is never formatted
  systemctl stop docker.socket docker containerd
  before=x-systemd.before=docker.service,x-systemd.before=containerd.service
  echo "UUID=$(blkid -s UUID -o value "$DATA_DEVICE") /var/lib/docker ext4 defaults,nofail,$before 0 2" >>/etc/fstab
  mkdir -p /var/lib/docker
  mount /var/lib/docker
  # newer engines keep images with containerd
  echo "/var/lib/docker/containerd-root /var/lib/containerd none bind,nofail,$before 0 0" >>/etc/fstab
  mkdir -p /var/lib/docker/containerd-root /var/lib/containerd
  mount /var/lib/containerd
  systemctl start containerd docker
fi
free=$(df --output=avail --block-size=1G /var/lib/docker | tail -n 1 | tr -d ' ')
[ "$free" -ge "$DISK_GB" ] || {
  echo "user data: $free GB are free in /var/lib/docker, building the images takes $DISK_GB: enlarge the volume" >&2
  exit 1
}
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
