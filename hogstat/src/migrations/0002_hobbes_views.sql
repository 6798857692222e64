-- The original's record types as views, so that its questions can be asked here under the names it gave them.
--
-- `datetime` columns are microseconds since 1970, as the original's type of that name. sessionHash is the session's
-- id. A reader is known by its ring's uuid and a writer by the producer's name, a sender by its spool's uuid: hog
-- has one sender for a spool, not one for each reader, so SenderRegistration joins readers by session and group,
-- and a state or recovery of one destination names it in an additional column.

CREATE VIEW ProcessEnvironment AS
SELECT started / 1000 AS startTime,
       id             AS sessionHash,
       role           AS runMode,
       argv,
       CASE kind WHEN 'recovery' THEN 'Recovery' ELSE 'Normal' END AS sessionType
  FROM sessions;

CREATE VIEW ReaderRegistration AS
SELECT r.time / 1000 AS datetime,
       r.session     AS sessionHash,
       g.name        AS writerId,
       g.ring        AS readerId,
       g.path        AS shmname,
       g.group_name  AS groupName
  FROM reader_registrations r
  JOIN regions g ON g.id = r.region;

CREATE VIEW SenderRegistration AS
SELECT min(time) / 1000          AS datetime,
       session                   AS sessionHash,
       sender                    AS senderId,
       directory,
       json_group_array(address) AS senderqueue,
       group_name                AS groupName
  FROM (SELECT r.time, r.session, s.id AS spool, s.sender, s.directory, s.group_name, d.address
          FROM sender_registrations r
          JOIN destinations d ON d.id = r.destination
          JOIN spools s ON s.id = d.spool
         ORDER BY d.id)
 GROUP BY session, spool;

CREATE VIEW ReaderState AS
SELECT t.time / 1000 AS datetime,
       t.session     AS sessionHash,
       g.ring        AS id,
       CASE t.status WHEN 'started' THEN 'Started' WHEN 'closed' THEN 'Closed' ELSE 'Lost' END AS status
  FROM reader_states t
  JOIN regions g ON g.id = t.region
 ORDER BY t.id;

CREATE VIEW SenderState AS
SELECT t.time / 1000 AS datetime,
       t.session     AS sessionHash,
       s.sender      AS id,
       CASE t.status WHEN 'started' THEN 'Started' WHEN 'suspended' THEN 'Suspended' ELSE 'Closed' END AS status,
       d.address     AS destination
  FROM sender_states t
  JOIN destinations d ON d.id = t.destination
  JOIN spools s ON s.id = d.spool
 ORDER BY t.id;

CREATE VIEW SessionRecovered AS
SELECT r.time / 1000    AS datetime,
       r.session        AS sessionHash,
       (SELECT s.sender
          FROM spools s
         WHERE s.session = r.original_session AND s.group_name = g.group_name
         ORDER BY s.id DESC
         LIMIT 1)       AS senderId,
       g.ring           AS readerId,
       o.started / 1000 AS originalSessionTime,
       r.destination
  FROM recoveries r
  JOIN regions g ON g.id = r.region
  JOIN sessions o ON o.id = r.original_session;

CREATE VIEW RecvConnection AS
SELECT time / 1000 AS datetime,
       remote      AS remoteHost,
       port        AS remotePort,
       session     AS sessionHash,
       group_name  AS groupName,
       sender      AS senderId
  FROM receive_connections;
