-- The tables of the SQLite engine. Times are milliseconds since the Unix epoch.
-- A column `device` is the device's key: app number << 32 | ordinal. One integer names a device, and the
-- devices of an app are one range of keys.

CREATE TABLE meta (
  name  TEXT PRIMARY KEY,
  value INTEGER NOT NULL
) WITHOUT ROWID;

-- `deleted` is set at once when an app is deleted; its rows then go in slices (see expiry.py).
CREATE TABLE apps (
  number              INTEGER PRIMARY KEY,
  app                 TEXT    NOT NULL,
  name                TEXT    NOT NULL,
  server_key_hash     BLOB    NOT NULL,
  device_secret       TEXT    NOT NULL,
  pubsub              INTEGER NOT NULL,
  created_at          INTEGER NOT NULL,
  generation          INTEGER NOT NULL,
  client_certificates INTEGER NOT NULL,
  next_ordinal        INTEGER NOT NULL DEFAULT 0,
  deleted             INTEGER NOT NULL DEFAULT 0
);
CREATE UNIQUE INDEX apps_by_name ON apps (app) WHERE NOT deleted;
CREATE INDEX apps_deleted ON apps (number) WHERE deleted;

-- `address` is "number/name": one text to look up whatever the app, so that the names of a whole group
-- of requests are resolved by one statement. `log_from`: what was in the log when the device came.
CREATE TABLE devices (
  device       INTEGER PRIMARY KEY,
  address      TEXT    NOT NULL UNIQUE,
  profile      TEXT    NOT NULL,
  created_at   INTEGER NOT NULL,
  log_from     INTEGER NOT NULL,
  banned_until INTEGER NOT NULL DEFAULT 0
);

-- Who left. All devices of an app are [0, next_ordinal) without these, so the audience of a broadcast
-- is known without reading a row a device. The address is for the ledgers that still speak of the device.
CREATE TABLE departed (
  device  INTEGER PRIMARY KEY,
  address TEXT NOT NULL
);

-- Cursors into the log, apart from `devices` because they move often: 300 of them share a page.
CREATE TABLE cursors (
  device    INTEGER PRIMARY KEY,
  log_after INTEGER NOT NULL
);

CREATE TABLE labels (
  app     INTEGER NOT NULL,
  kind    INTEGER NOT NULL, -- 0 tag, 1 alias
  value   TEXT    NOT NULL,
  ordinal INTEGER NOT NULL,
  PRIMARY KEY (app, kind, value, ordinal)
) WITHOUT ROWID;

-- `body` is the whole Message in msgpack; the columns are what statements must see of it.
-- Unique by (app, id) rather than (id), because that index also finds the messages of a deleted app.
CREATE TABLE messages (
  position    INTEGER PRIMARY KEY,
  app         INTEGER NOT NULL,
  id          BLOB    NOT NULL,
  expires_at  INTEGER NOT NULL,
  online_only INTEGER NOT NULL,
  missing     INTEGER NOT NULL, -- names of the audience that no device had
  cancelled   INTEGER NOT NULL DEFAULT 0,
  body        BLOB    NOT NULL
);
CREATE UNIQUE INDEX messages_by_id ON messages (app, id);

-- What waits for a device, and nothing else: a device that has everything costs no row.
CREATE TABLE inbox (
  device   INTEGER NOT NULL,
  position INTEGER NOT NULL,
  collapse TEXT,
  PRIMARY KEY (device, position)
) WITHOUT ROWID;
CREATE INDEX inbox_by_collapse ON inbox (collapse, device, position) WHERE collapse IS NOT NULL;

-- The ledger of messages to named devices: it is summed up when asked for, so it cannot be out of balance.
-- Keyed by position first: a busy second touches few pages, whichever devices it is for.
CREATE TABLE deliveries (
  position   INTEGER NOT NULL,
  device     INTEGER NOT NULL,
  state      INTEGER NOT NULL, -- model.State
  routed     INTEGER NOT NULL,
  sent_at    INTEGER,
  settled_at INTEGER,
  reason     TEXT,
  PRIMARY KEY (position, device)
) WITHOUT ROWID;

-- Broadcasts that have not ended. `kept` is 0 for those that are for who is online only.
CREATE TABLE log (
  position   INTEGER PRIMARY KEY,
  app        INTEGER NOT NULL,
  expires_at INTEGER NOT NULL,
  kept       INTEGER NOT NULL,
  collapse   TEXT
);
CREATE INDEX log_by_app ON log (app, kept, position, expires_at);
CREATE INDEX log_by_collapse ON log (app, collapse, position) WHERE collapse IS NOT NULL;

-- The ledger of broadcasts: sets of ordinals by label. Row 0 is the frozen audience; each commit appends
-- what it added, and now and then the additions are merged (see broadcasts.py).
CREATE TABLE broadcast_sets (
  position INTEGER NOT NULL,
  n        INTEGER NOT NULL,
  label    TEXT    NOT NULL,
  ordinals BLOB    NOT NULL,
  PRIMARY KEY (position, n)
) WITHOUT ROWID;

-- When runs of neighbouring messages end (kind 0) or are to be forgotten (kind 1).
-- Messages that arrive together mostly end together, so a run is one row for hundreds of messages.
CREATE TABLE expiry (
  at    INTEGER NOT NULL,
  kind  INTEGER NOT NULL,
  first INTEGER NOT NULL,
  last  INTEGER NOT NULL,
  PRIMARY KEY (at, kind, first)
) WITHOUT ROWID;

CREATE TABLE idempotency (
  app     INTEGER NOT NULL,
  key     TEXT    NOT NULL,
  digest  BLOB    NOT NULL,
  results TEXT    NOT NULL,
  ends_at INTEGER NOT NULL,
  PRIMARY KEY (app, key)
) WITHOUT ROWID;
CREATE INDEX idempotency_by_end ON idempotency (ends_at);

-- Events for app servers, one queue an app; `n` rises within it. `body` is the whole Event in msgpack.
CREATE TABLE events (
  app  INTEGER NOT NULL,
  n    INTEGER NOT NULL,
  body BLOB    NOT NULL,
  PRIMARY KEY (app, n)
) WITHOUT ROWID;

-- Numbers of those for which later ones stand: when a queue is full they go first. Some may have gone before.
CREATE TABLE past (
  app INTEGER NOT NULL,
  n   INTEGER NOT NULL,
  PRIMARY KEY (app, n)
) WITHOUT ROWID;

-- Of each queue: its last number, how many events it has, and the highest number that went when it was full.
CREATE TABLE queues (
  app     INTEGER PRIMARY KEY,
  last    INTEGER NOT NULL,
  length  INTEGER NOT NULL,
  removed INTEGER NOT NULL
);

-- Where devices stand by the latest event of each: `n` is its number, `data` what it says unless the device is
-- gone by it. So that a start knows of whom a life before it has told that they are there.
CREATE TABLE standings (
  app    INTEGER NOT NULL,
  device TEXT    NOT NULL,
  n      INTEGER NOT NULL,
  data   BLOB,
  PRIMARY KEY (app, device)
) WITHOUT ROWID;

-- The highest sequence recorded of each source of events: what is not above it was recorded before.
CREATE TABLE sources (
  id       INTEGER PRIMARY KEY, -- rises with every new source
  source   TEXT    NOT NULL UNIQUE,
  sequence INTEGER NOT NULL
);

-- MQTT sessions that are kept. `number`: the epoch that began it; rows elsewhere that name another number are of
-- an earlier session, and count for nothing. `node`: NULL when it has no connection. `given_up`: because its node
-- died. `ends_at`: NULL while it is connected, or for ever. The rest is its queue's: the last place, up to where it
-- was sent, how many places it holds, and their bytes.
CREATE TABLE sessions (
  device     INTEGER PRIMARY KEY,
  number     INTEGER NOT NULL,
  epoch      INTEGER NOT NULL,
  node       TEXT,
  given_up   INTEGER NOT NULL DEFAULT 0,
  expires_in INTEGER NOT NULL, -- s
  ends_at    INTEGER,
  latest     INTEGER NOT NULL DEFAULT 0,
  sent       INTEGER NOT NULL DEFAULT 0,
  length     INTEGER NOT NULL DEFAULT 0,
  bytes      INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX sessions_by_node ON sessions (node) WHERE node IS NOT NULL;
CREATE INDEX sessions_by_end ON sessions (ends_at) WHERE ends_at IS NOT NULL;

-- Their filters, in the order of their bytes: whether any filter begins with a text is one seek (see matching.py).
CREATE TABLE filters (
  app        INTEGER NOT NULL,
  filter     TEXT    NOT NULL,
  device     INTEGER NOT NULL,
  number     INTEGER NOT NULL,
  options    INTEGER NOT NULL, -- QoS, + 4: no local, + 8: retain as published
  identifier INTEGER NOT NULL,
  PRIMARY KEY (app, filter, device)
) WITHOUT ROWID;
CREATE INDEX filters_by_session ON filters (device, number);

-- Messages in queues, each once for all queues that it is in.
CREATE TABLE publications (
  n          INTEGER PRIMARY KEY,
  expires_at INTEGER NOT NULL, -- 0: never
  body       BLOB    NOT NULL
);
CREATE INDEX publications_by_end ON publications (expires_at) WHERE expires_at > 0;

-- The queues. `publication` is NULL when PUBREC has come: then only the place is left.
CREATE TABLE waiting (
  device      INTEGER NOT NULL,
  number      INTEGER NOT NULL,
  place       INTEGER NOT NULL,
  publication INTEGER,
  bytes       INTEGER NOT NULL,
  options     INTEGER NOT NULL, -- QoS, + 4: retain
  identifiers TEXT    NOT NULL, -- with commas between
  PRIMARY KEY (device, number, place)
) WITHOUT ROWID;
CREATE INDEX waiting_by_publication ON waiting (publication) WHERE publication IS NOT NULL;
CREATE INDEX waiting_released ON waiting (device, number, place) WHERE publication IS NULL;

-- Packet identifiers of QoS 2 messages that came from a session and wait for PUBREL. `id`: the message's.
CREATE TABLE received (
  device    INTEGER NOT NULL,
  number    INTEGER NOT NULL,
  packet_id INTEGER NOT NULL,
  id        BLOB    NOT NULL,
  PRIMARY KEY (device, number, packet_id)
) WITHOUT ROWID;

-- Wills by the connection that left them. `due`: NULL while it is there; of a will that was given out, when it
-- is given out again.
CREATE TABLE wills (
  n      INTEGER PRIMARY KEY,
  device INTEGER NOT NULL,
  epoch  INTEGER NOT NULL,
  delay  INTEGER NOT NULL, -- ms
  due    INTEGER,
  given  INTEGER NOT NULL DEFAULT 0,
  qos    INTEGER NOT NULL,
  id     BLOB    NOT NULL,
  body   BLOB    NOT NULL
);
CREATE INDEX wills_by_connection ON wills (device, epoch);
CREATE INDEX wills_due ON wills (due) WHERE due IS NOT NULL;

-- Sessions that are over and have left something in the tables above, which goes in slices (see remains.py).
CREATE TABLE remains (
  device INTEGER NOT NULL,
  number INTEGER NOT NULL,
  PRIMARY KEY (device, number)
) WITHOUT ROWID;

-- Retained messages. `body` is all of a message but its topic (publications.py). The index has one entry a topic,
-- which the writer sees to, and all that a walk over topics has to know.
CREATE TABLE retained (
  id         INTEGER PRIMARY KEY,
  app        INTEGER NOT NULL,
  expires_at INTEGER NOT NULL, -- 0 for never
  size       INTEGER NOT NULL,
  topic      TEXT    NOT NULL,
  body       BLOB    NOT NULL
);
CREATE INDEX retained_by_topic ON retained (app, topic, expires_at, size);
CREATE INDEX retained_by_end ON retained (expires_at) WHERE expires_at > 0;

-- What apps have of them; one that has none has no row.
CREATE TABLE retained_totals (
  app      INTEGER PRIMARY KEY,
  messages INTEGER NOT NULL,
  bytes    INTEGER NOT NULL
);

PRAGMA user_version = 3;
