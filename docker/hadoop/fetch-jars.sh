#!/usr/bin/env bash
# fetch-jars.sh POM FOLDER: the jars of a pom by Maven, each checked against its checksum; one that differs fails.
# Maven does not know HTTP_PROXY: what the environment says of proxies becomes its global settings, in a file that has
# no name any more when Maven reads it. The user's own settings (~/.m2/settings.xml) go before them.
set -euo pipefail

decoded() { printf '%b' "${1//%/\\x}"; } # what is %40 in an address
element() { # NAME VALUE
  local text=${2//'&'/'&amp;'}
  text=${text//'<'/'&lt;'}
  printf '<%s>%s</%s>' "$1" "${text//'>'/'&gt;'}" "$1"
}
proxy() { # http|https ADDRESS HOSTS_WITHOUT_PROXY
  local place=${2#*://} login="" port=80
  place=${place%%/*}
  case $place in *@*) login=${place%@*} place=${place##*@} ;; esac
  case $place in *:*) port=${place##*:} place=${place%:*} ;; esac
  printf '<proxy>'
  element id "$1"
  element active true
  element protocol "$1"
  element host "$place"
  element port "$port"
  [ -z "$login" ] || element username "$(decoded "${login%%:*}")"
  [ -z "$login" ] || element password "$(decoded "${login#*:}")"
  element nonProxyHosts "$3"
  printf '</proxy>'
}

http=${http_proxy:-${HTTP_PROXY:-}} https=${https_proxy:-${HTTPS_PROXY:-}} hosts=${no_proxy:-${NO_PROXY:-}}
settings=()
if [ -n "$http$https" ]; then
  direct=""
  for host in ${hosts//,/ }; do direct+="|${host#.}|*.${host#.}"; done
  file=$(mktemp)
  {
    printf '<settings><proxies>'
    [ -z "$https" ] || proxy https "$https" "${direct#|}"
    [ -z "$http" ] || proxy http "$http" "${direct#|}"
    printf '</proxies></settings>\n'
  } >"$file"
  exec 3<"$file"
  rm "$file"
  settings=(--global-settings /dev/fd/3)
fi
exec mvn --batch-mode --quiet --no-transfer-progress --strict-checksums -Dstyle.color=never "${settings[@]}" -f "$1" \
  dependency:copy-dependencies "-DoutputDirectory=$2"
