-- Off for everybody: what reaches out of SQL into the server's process, its files, or a shell.
SELECT reflect('java.lang.System', 'getenv', 'STACK_HIVE_USERS')
SELECT reflect2('a', 'length')
SELECT java_method('java.lang.System', 'getenv', 'PATH')
SELECT in_file('root', '/etc/passwd')
SELECT get_splits('SELECT 1', 1)
SELECT TRANSFORM(1) USING 'cat' AS (x)
FROM (MAP market USING 'cat' AS x FROM {lake}.candle) a SELECT x
dfs -ls /
add jar /tmp/x.jar
list jars
delete jar /tmp/x.jar
compile `x` AS groovy NAMED x
reload functions
SET hive.tez.java.opts=-Xmx1g
SET tez.task.launch.cmd-opts=x
SET tez.am.launch.env=A=b
SET hive.exec.pre.hooks=x
SET hive.semantic.analyzer.hook=
SET hive.security.authorization.enabled=false
SET upbit_elt.hive.writers=tableau
SET hiveconf:upbit_elt.hive.writers=tableau
SET hive.server2.builtin.udf.blacklist=x
SET hive.security.command.whitelist=dfs
SET hive.variable.substitute=true
SET fs.defaultFS=file:///
SET hive.execution.engine=mr
SET javax.jdo.option.ConnectionURL=jdbc:x
SET hive.metastore.uris=thrift://evil:9083
SET system:user.name=hdfs
set/* */ system:user.name=hdfs
SET metaconf:hive.metastore.try.direct.sql=false
SET hivevar:mode=HPLSQL
RESET -d hive.security.authorization.enabled
