#!/usr/bin/env bash
# Starts one Hadoop or Hive daemon in the foreground. `./run` and docker compose both use it.
#   entrypoint.sh namenode|datanode|resourcemanager|nodemanager|hiveserver2|metastore
#   entrypoint.sh dfsadmin|fsck|dfs|yarn ARGUMENT...     Hadoop's own tools
# STACK_DATA_DIR   folder for everything written          STACK_JARS_DIR   folder with hadoop/ and hive/ (jars)
# STACK_HEAP       Java heap, as 256m                     STACK_JAVA_OPTS  more options for java
# STACK_SLOTS      set: several DataNodes share one volume, each takes a folder of its own
# STACK_HIVE_USERS set: HiveServer2 requires passwords; name:password pairs, separated by commas
# STACK_HIVE_WRITERS  with it: users who may do everything, others read (default: upbit)
# STACK_MERGE_LOOK  the NameNode looks every so many seconds (default: 60) whether its image is older than a day
# Hosts and ports: STACK_* in hadoop-conf/*.xml and hive/hive-site.xml.
set -euo pipefail

daemon=${1:-}
home=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
export STACK_HOME=$home
export STACK_DATA_DIR=${STACK_DATA_DIR:-/data}
export STACK_JARS_DIR=${STACK_JARS_DIR:-/opt/jars}
export STACK_NAME_DIR=${STACK_NAME_DIR:-$STACK_DATA_DIR/hdfs/name}
export STACK_BLOCK_DIR=${STACK_BLOCK_DIR:-$STACK_DATA_DIR/hdfs/blocks}
export STACK_CHECKPOINT_DIR=$STACK_DATA_DIR/hdfs/checkpoint
export STACK_METASTORE_DB_URL=${STACK_METASTORE_DB_URL:-jdbc:derby:;databaseName=$STACK_DATA_DIR/metastore;create=true}
case $STACK_METASTORE_DB_URL in
  jdbc:derby:*) export STACK_METASTORE_DB_DRIVER=org.apache.derby.jdbc.EmbeddedDriver ;;
  # on PostgreSQL tables made as they are needed wait for each other: they are all made beforehand
  jdbc:postgresql:*) export STACK_METASTORE_DB_DRIVER=org.postgresql.Driver STACK_METASTORE_AUTO_CREATE=false ;;
  *) echo "STACK_METASTORE_DB_URL: only Derby and PostgreSQL are known, not ${STACK_METASTORE_DB_URL%%:*}" >&2; exit 2 ;;
esac
export USER=${HADOOP_USER_NAME:-${USER:-$(id -un)}} # Tez takes it from the environment
[ "${STACK_TEZ_LOCAL:-true}" = true ] || export STACK_FRAMEWORK=yarn
export STACK_NODEMANAGER_HOST=${STACK_NODEMANAGER_HOST:-$(hostname)}
# In HDFS; but Tez in local mode stages under the same path on this machine's disk too, so it must be ours on both.
export STACK_HIVE_SCRATCH=$STACK_DATA_DIR/tmp/hive-scratch
export MALLOC_ARENA_MAX=${MALLOC_ARENA_MAX:-2} # glibc otherwise keeps up to 8 arenas a core resident

# Java 17 closes packages that Hadoop and Hive look into; HiveServer2 without them never opens its port.
flags="-XX:+UseSerialGC -XX:TieredStopAtLevel=1 -XX:-UsePerfData -XX:+ExitOnOutOfMemoryError -Djava.net.preferIPv4Stack=true"
for package in java.lang java.net java.nio java.util java.util.concurrent java.util.concurrent.atomic; do
  flags+=" --add-opens=java.base/$package=ALL-UNNAMED"
done
export STACK_JAVA_FLAGS=$flags

# The hadoop-hdfs jar lacks the web applications, and the daemons insist on their folders.
web=$STACK_DATA_DIR/tmp/web
mkdir -p "$web"/webapps/{hdfs,datanode,secondary,static,cluster,node} "$STACK_DATA_DIR/tmp"

hadoop_classpath=$home/hadoop-conf:$web:$STACK_JARS_DIR/hadoop/*
hive_classpath=$home/hive:$home/hadoop-conf:$web:$STACK_JARS_DIR/hive/*

cd "$STACK_DATA_DIR/tmp" # Tez in local mode leaves its cache in the current folder

java() { # CLASSPATH HEAP MAIN [ARGUMENT...]; replaces this shell
  local classpath=$1 heap=$2
  shift 2
  # shellcheck disable=SC2086 # flags and options are lists
  exec "${JAVA_HOME:+$JAVA_HOME/bin/}java" -Xmx"${STACK_HEAP:-$heap}" $flags ${STACK_JAVA_OPTS:-} \
    "-Djava.io.tmpdir=$STACK_DATA_DIR/tmp" "-Dderby.stream.error.file=$STACK_DATA_DIR/tmp/derby.log" \
    "-Dlog4j2.configurationFile=$home/hive/hive-log4j2.properties" -cp "$classpath" "$@"
}

# A name folder is made under another name and moved when whole; one that holds anything is never formatted.
format_if_empty() {
  [ -z "$(ls -A "$STACK_NAME_DIR" 2>/dev/null)" ] || return 0
  if [ -n "$(ls -A "$STACK_BLOCK_DIR" 2>/dev/null)" ]; then
    echo "$STACK_NAME_DIR is empty but $STACK_BLOCK_DIR holds blocks: restore the name folder, or remove both" >&2
    exit 1
  fi
  local fresh=$STACK_NAME_DIR.new
  rm -rf "$fresh"
  mkdir -p "$fresh"
  (STACK_NAME_DIR=$fresh java "$hadoop_classpath" 128m org.apache.hadoop.hdfs.server.namenode.NameNode -format -nonInteractive -force)
  [ ! -d "$STACK_NAME_DIR" ] || rmdir "$STACK_NAME_DIR"
  mv "$fresh" "$STACK_NAME_DIR"
}

# The first folder of the volume that no other DataNode holds. The lock lives as long as the process.
take_slot() {
  local number lock
  for number in $(seq 1 99); do
    mkdir -p "$STACK_BLOCK_DIR/$number"
    exec {lock}>"$STACK_BLOCK_DIR/$number.lock"
    if flock --nonblock "$lock"; then
      STACK_BLOCK_DIR+=/$number
      return
    fi
    exec {lock}>&-
  done
  echo "$STACK_BLOCK_DIR: all 99 folders are in use" >&2
  exit 1
}

schema_tool() { # -validate|-create: the metastore's tables, by the tool of its own object mapper
  local properties=$STACK_DATA_DIR/tmp/schema.properties
  (
    umask 077
    printf '%s\n' \
      javax.jdo.PersistenceManagerFactoryClass=org.datanucleus.api.jdo.JDOPersistenceManagerFactory \
      "javax.jdo.option.ConnectionURL=$STACK_METASTORE_DB_URL" \
      "javax.jdo.option.ConnectionDriverName=$STACK_METASTORE_DB_DRIVER" \
      "javax.jdo.option.ConnectionUserName=${STACK_METASTORE_DB_USER:-hive}" \
      "javax.jdo.option.ConnectionPassword=${STACK_METASTORE_DB_PASSWORD:-}" \
      datanucleus.identifierFactory=datanucleus1 datanucleus.transactionIsolation=read-committed \
      datanucleus.rdbms.useLegacyNativeValueStrategy=true datanucleus.plugin.pluginRegistryBundleCheck=LOG \
      >"$properties"
    java "$hive_classpath" 128m org.datanucleus.store.schema.SchemaTool \
      "$1" -api JDO -props "$properties" "$STACK_JARS_DIR/package.jdo" >"$STACK_DATA_DIR/tmp/schema.log" 2>&1
  )
}

# What has changed since the last image is what the next start does again, and it lies on the disk: once a day it goes into
# a new image, without a restart and while HDFS is written to. Ends with the NameNode, whose log it writes into.
merge_journal_daily() { # PID: the NameNode's
  local look=${STACK_MERGE_LOOK:-60} wait said
  wait=$look
  until timeout "$wait" tail --pid="$1" -f /dev/null; do
    wait=$look
    ! has_fresh_image || continue
    rm -rf "$STACK_CHECKPOINT_DIR" # what one that was killed has left
    said="the journal is in a new image"
    # it ends well, too, when the NameNode has not taken the image
    { merge_journal >"$STACK_DATA_DIR/tmp/merge.log" 2>&1 && has_fresh_image; } ||
      { wait=3600 said="the journal could not be put into an image, next try in an hour: $(tail -n 1 "$STACK_DATA_DIR/tmp/merge.log")"; }
    echo "namenode: $said" >"/proc/$1/fd/2" || true
  done
}

has_fresh_image() {
  [ -n "$(find "$STACK_NAME_DIR/current" -name 'fsimage_*' ! -name '*.md5' -mmin -1440)" ]
}

merge_journal() { # a NameNode's helper that fetches image and journal, merges them, sends the image and ends
  (java "$hadoop_classpath" 256m org.apache.hadoop.hdfs.server.namenode.SecondaryNameNode -checkpoint force)
}

# Every user may list the server's environment and change nothing in it: passwords go to it in a file.
hide_passwords() {
  [ -n "${STACK_HIVE_USERS:-}" ] || return 0
  export STACK_HIVE_USERS_FILE=$STACK_DATA_DIR/tmp/hive-users
  rm -f "$STACK_HIVE_USERS_FILE"
  (umask 077 && tr ',' '\n' <<<"$STACK_HIVE_USERS" >"$STACK_HIVE_USERS_FILE")
  unset STACK_HIVE_USERS
  export STACK_HIVE_AUTHENTICATION=CUSTOM STACK_HIVE_AUTHORIZATION=true
  export STACK_HIVE_AUTHORIZER=upbit_elt.ReadersAuthorizerFactory STACK_HIVE_SESSION=upbit_elt.SafeSession
  export STACK_HIVE_ANALYZER_HOOK=upbit_elt.PlainTemporaryTables
}

check_schema() {
  [ "${STACK_METASTORE_AUTO_CREATE:-true}" = false ] || return 0
  schema_tool -validate && return
  echo "metastore: making the tables" >&2
  schema_tool -create && schema_tool -validate && return
  tail -n 5 "$STACK_DATA_DIR/tmp/schema.log" >&2
  echo "the metastore's tables are not those of this Hive, or the database does not answer: see the lines above" >&2
  exit 1
}

case $daemon in
  namenode)
    format_if_empty
    merge_journal_daily $$ </dev/null >/dev/null 2>&1 & # it must not hold the log of a NameNode that has ended
    java "$hadoop_classpath" 256m org.apache.hadoop.hdfs.server.namenode.NameNode ;;
  datanode)
    mkdir -p "$STACK_BLOCK_DIR"
    [ -z "${STACK_SLOTS:-}" ] || take_slot
    java "$hadoop_classpath" 256m org.apache.hadoop.hdfs.server.datanode.DataNode ;;
  resourcemanager)
    java "$hadoop_classpath" 256m org.apache.hadoop.yarn.server.resourcemanager.ResourceManager ;;
  nodemanager)
    java "$hadoop_classpath" 256m org.apache.hadoop.yarn.server.nodemanager.NodeManager ;;
  hiveserver2)
    # what the one before left, on this machine and in HDFS
    rm -rf "$STACK_HIVE_SCRATCH" "$STACK_DATA_DIR"/tmp/{*_resources,hive-local,hive-queries,snappy-*.so,libjansi-*.so}
    hide_passwords
    # nobody's child: it waits for the NameNode while this shell becomes HiveServer2, and ends with it at the latest
    (python3 "$home/docker/hadoop/scratch.py" $$ </dev/null >"$STACK_DATA_DIR/tmp/scratch.log" 2>&1 &)
    # Calcite keeps what each of the last so many queries was planned with, their sessions' settings too (0.4 MB each): of
    # a thousand by itself, though no query ever finds that of another.
    flags+=" -Dcalcite.metadata.handler.cache.maximum.size=20"
    # From the environment Hive takes this name for somebody to act on behalf of, which YARN refuses to what runs in the
    # background: that is all that JDBC and ODBC drivers run.
    if [ -n "${HADOOP_USER_NAME:-}" ]; then
      flags+=" -DHADOOP_USER_NAME=$HADOOP_USER_NAME"
      unset HADOOP_USER_NAME
    fi
    java "$hive_classpath" 640m org.apache.hive.service.server.HiveServer2 ;;
  metastore)
    check_schema
    java "$hive_classpath" 256m org.apache.hadoop.hive.metastore.HiveMetaStore -p "${STACK_METASTORE_PORT:-9083}" ;;
  dfsadmin) java "$hadoop_classpath" 128m org.apache.hadoop.hdfs.tools.DFSAdmin "${@:2}" ;;
  fsck) java "$hadoop_classpath" 128m org.apache.hadoop.hdfs.tools.DFSck "${@:2}" ;;
  dfs) java "$hadoop_classpath" 128m org.apache.hadoop.fs.FsShell "${@:2}" ;;
  yarn) java "$hadoop_classpath" 128m org.apache.hadoop.yarn.client.cli.ApplicationCLI "${@:2}" ;;
  *)
    echo "usage: $0 namenode|datanode|resourcemanager|nodemanager|hiveserver2|metastore|dfsadmin|fsck|dfs|yarn" >&2
    exit 2 ;;
esac
