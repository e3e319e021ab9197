#!/bin/sh
# Redis answers a ping; exit 3 when no answer comes (docker/watchdog.sh), 1 when it answers something else (it loads).
said=$(timeout 10 redis-cli ping 2>&1)
case $?:$said in
  0:PONG) ;;
  124:* | *refused*) echo "Redis does not answer" && exit 3 ;;
  *) echo "$said" && exit 1 ;;
esac
