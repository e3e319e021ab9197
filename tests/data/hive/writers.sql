-- For writers alone: what changes tables, or reads files and tables that are not the lake's.
CREATE DATABASE evil
DROP DATABASE {lake} CASCADE
ALTER DATABASE {lake} SET LOCATION '{hdfs}/tmp/x'
ALTER DATABASE {lake} SET OWNER USER tableau
DROP TABLE {lake}.candle
DROP TABLE IF EXISTS {day}
DROP VIEW {bi}.candle
TRUNCATE TABLE {day}
ALTER TABLE {lake}.candle RENAME TO {lake}.gone
ALTER TABLE {lake}.candle SET LOCATION '{hdfs}/tmp/x'
ALTER TABLE {lake}.candle DROP PARTITION (dt='2026-11-24')
ALTER TABLE {lake}.candle ADD PARTITION (dt='2026-11-25')
ALTER TABLE {lake}.candle SET TBLPROPERTIES ('external.table.purge'='true')
ALTER TABLE {lake}.candle ADD COLUMNS (x INT)
ALTER TABLE {lake}.candle UPDATE STATISTICS SET ('numRows'='1')
ALTER VIEW {bi}.candle AS SELECT 1
MSCK REPAIR TABLE {lake}.candle
ANALYZE TABLE {day} COMPUTE STATISTICS
ANALYZE TABLE {day} COMPUTE STATISTICS FOR COLUMNS
INSERT INTO {day} SELECT * FROM {day}
INSERT INTO {lake}.candle PARTITION (dt='2026-11-24') SELECT * FROM {day}
INSERT OVERWRITE TABLE {day} SELECT * FROM {day}
EXPLAIN ANALYZE INSERT INTO {day} SELECT * FROM {day}
FROM {day} a INSERT INTO TABLE {day} SELECT a.*
DELETE FROM {day}
UPDATE {day} SET market='x'
INSERT OVERWRITE DIRECTORY '/replica_guarded/x' SELECT 1
INSERT OVERWRITE LOCAL DIRECTORY '/tmp/upbit-elt-evil' SELECT 1
LOAD DATA INPATH '/replica_guarded' INTO TABLE {day}
LOAD DATA LOCAL INPATH '/etc/passwd' INTO TABLE {day}
EXPORT TABLE {day} TO '/tmp/x'
IMPORT TABLE {lake}.evil FROM '/tmp/x'
REPL DUMP {lake}
CREATE TABLE {lake}.evil (n INT)
CREATE TABLE {lake}.evil AS SELECT 1 AS n
CREATE TABLE default.evil (n INT)
CREATE TABLE IF NOT EXISTS default.evil AS SELECT 1 AS n
CREATE TABLE default.evil LIKE {lake}.candle
CREATE EXTERNAL TABLE default.evil (line STRING) LOCATION '{hdfs}/replica_guarded'
CREATE TEMPORARY TABLE evil (line STRING) LOCATION '{hdfs}/replica_guarded'
CREATE TEMPORARY EXTERNAL TABLE evil (line STRING) LOCATION '{hdfs}/replica_guarded'
CREATE TEMPORARY TABLE evil (line STRING) LOCATION 'file:///etc'
CREATE TEMPORARY TABLE evil LIKE {day} LOCATION '{hdfs}/replica_guarded'
CREATE TEMPORARY TABLE evil LIKE FILE PARQUET '{hdfs}/replica_guarded/x'
CREATE TEMPORARY TABLE evil (n INT) STORED BY 'org.apache.hadoop.hive.ql.metadata.DefaultStorageHandler'
CREATE TEMPORARY TABLE evil (line STRING) {symlink}
CREATE TEMPORARY TABLE evil {symlink} AS SELECT 'file:///etc/passwd' AS line
CREATE TEMPORARY TABLE evil STORED AS AVRO TBLPROPERTIES ('avro.schema.url'='file:///etc/passwd')
CREATE TEMPORARY TABLE evil (line STRING) ROW FORMAT SERDE 'org.apache.hadoop.hive.serde2.OpenCSVSerde'
CREATE TEMPORARY TABLE evil (line STRING) TBLPROPERTIES ('transactional'='true')
CREATE TEMPORARY TABLE evil AS SELECT * FROM private.t
CREATE TEMPORARY TABLE evil LIKE private.t
CREATE TEMPORARY TABLE evil LIKE {day}
CREATE VIEW {bi}.evil AS SELECT 1 AS n
CREATE VIEW default.evil AS SELECT 1 AS n
CREATE MATERIALIZED VIEW default.evil AS SELECT * FROM {day}
CREATE FUNCTION default.f AS 'org.apache.hadoop.hive.ql.udf.generic.GenericUDFReflect'
CREATE TEMPORARY FUNCTION f AS 'org.apache.hadoop.hive.ql.udf.generic.GenericUDFReflect'
CREATE TEMPORARY MACRO m(x INT) x + 1
GRANT ALL ON TABLE {lake}.candle TO USER tableau
GRANT SELECT ON private.t TO ROLE public
GRANT admin TO USER tableau
SET ROLE ADMIN
CREATE ROLE r
SHOW GRANT USER upbit ON ALL
SELECT * FROM private.t
DESCRIBE FORMATTED private.t
SHOW CREATE TABLE private.t
SHOW PARTITIONS private.t
DROP TABLE private.t
ALTER TABLE private.t RENAME TO default.t
CREATE SCHEDULED QUERY q EVERY 1 HOURS AS SELECT 1
CREATE RESOURCE PLAN p
CREATE CONNECTOR c TYPE 'mysql' URL 'jdbc:mysql://x'
LOCK TABLE {lake}.candle EXCLUSIVE
ABORT TRANSACTIONS 1
EXPLAIN DROP TABLE {lake}.candle
