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
  access              TEXT    NOT NULL, -- JSON
  limits              TEXT    NOT NULL DEFAULT '{}', -- JSON
  next_ordinal        INTEGER NOT NULL DEFAULT 0,
  deleted             INTEGER NOT NULL DEFAULT 0
);
CREATE UNIQUE INDEX apps_by_name ON apps (app) WHERE NOT deleted;
CREATE INDEX apps_deleted ON apps (number) WHERE deleted;
CREATE INDEX apps_retaining ON apps (number) WHERE limits ->> 'ledger_retention' IS NOT NULL;

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
-- `told`: up to which of `endings` its device knows what it misses; 0 for up to `log_from`.
CREATE TABLE cursors (
  device    INTEGER PRIMARY KEY,
  log_after INTEGER NOT NULL,
  told      INTEGER NOT NULL DEFAULT 0
);

-- When devices were last there, and how they came; see visits.py. A device that never came has no row. `slot`: where
-- the latest of its connections is, -1 for nowhere.
CREATE TABLE visits (
  device   INTEGER PRIMARY KEY,
  came_at  INTEGER NOT NULL,
  left_at  INTEGER NOT NULL, -- 0: not since this is noted
  address  TEXT    NOT NULL,
  protocol TEXT    NOT NULL,
  client   TEXT    NOT NULL,
  version  TEXT    NOT NULL,
  slot     INTEGER NOT NULL DEFAULT -1
);

-- The connections that devices had of late, see visits.py. `ended_at`: 0 while nobody has told of the end; `reason`: why
-- it ended.
CREATE TABLE connections (
  device   INTEGER NOT NULL,
  slot     INTEGER NOT NULL,
  epoch    INTEGER NOT NULL,
  at       INTEGER NOT NULL,
  node     TEXT    NOT NULL,
  address  TEXT    NOT NULL,
  protocol TEXT    NOT NULL,
  client   TEXT    NOT NULL,
  version  TEXT    NOT NULL,
  ended_at INTEGER NOT NULL DEFAULT 0,
  reason   TEXT    NOT NULL DEFAULT '',
  PRIMARY KEY (device, slot)
) WITHOUT ROWID;

-- What messages to named devices, and broadcasts dropped in favour of newer ones, have left of each device in the
-- ledger that it has not seen and was not told of. A device that misses nothing has no row.
CREATE TABLE gaps (
  device    INTEGER PRIMARY KEY,
  dropped   INTEGER NOT NULL,
  expired   INTEGER NOT NULL,
  collapsed INTEGER NOT NULL,
  since     INTEGER NOT NULL
);

-- Broadcasts that have ended with devices that had not seen them; which, their sets say. `n` is from the counter of
-- positions.
CREATE TABLE endings (
  n        INTEGER PRIMARY KEY,
  app      INTEGER NOT NULL,
  position INTEGER NOT NULL,
  at       INTEGER NOT NULL
);
CREATE INDEX endings_by_app ON endings (app, n);
CREATE INDEX endings_by_position ON endings (position);

-- Who has a label, in rows of 65,536 ordinals: roaring bitmaps (see labels.py, here and above).
CREATE TABLE labels (
  app      INTEGER NOT NULL,
  kind     INTEGER NOT NULL,
  label    TEXT    NOT NULL,
  block    INTEGER NOT NULL, -- ordinal / 65,536
  ordinals BLOB    NOT NULL,
  PRIMARY KEY (app, kind, label, block)
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
  created_at  INTEGER NOT NULL,
  label       TEXT,             -- a word of the sender's
  body        BLOB    NOT NULL
);
CREATE UNIQUE INDEX messages_by_id ON messages (app, id);
CREATE INDEX messages_by_label ON messages (app, label, id) WHERE label IS NOT NULL;

-- What waits for a device, and nothing else: a device that has everything costs no row.
-- `load`: twice the bytes of the message, and 1 more for one of high priority.
CREATE TABLE inbox (
  device   INTEGER NOT NULL,
  position INTEGER NOT NULL,
  collapse TEXT,
  load     INTEGER NOT NULL,
  PRIMARY KEY (device, position)
) WITHOUT ROWID;
CREATE INDEX inbox_urgent ON inbox (device, position) WHERE load & 1;
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
  collapse   TEXT,
  high       INTEGER NOT NULL, -- priority
  grp        INTEGER NOT NULL  -- the number of the group that it was said in; 0 for none
);
CREATE INDEX log_by_app ON log (app, kept, position, expires_at);
-- What a device that comes has to look through: what was for the whole app, and for its groups.
CREATE INDEX log_of_all ON log (app, kept, position, expires_at) WHERE grp = 0;
CREATE INDEX log_by_group ON log (grp, kept, position, expires_at) WHERE grp > 0;
CREATE INDEX log_by_collapse ON log (app, collapse, position) WHERE collapse IS NOT NULL;

-- Groups for chat. `number` is from the counter of positions, so that a later group of the same name has another.
-- Who is a member is a label, too (see labels.py). `bytes`: of all payloads that were ever said.
CREATE TABLE chat_groups (
  number     INTEGER PRIMARY KEY,
  app        INTEGER NOT NULL,
  name       TEXT    NOT NULL,
  created_at INTEGER NOT NULL,
  sequence   INTEGER NOT NULL DEFAULT 0,
  members    INTEGER NOT NULL DEFAULT 0,
  bytes      INTEGER NOT NULL DEFAULT 0
);
CREATE UNIQUE INDEX chat_groups_by_name ON chat_groups (app, name);
CREATE TABLE group_members (
  device INTEGER NOT NULL,
  grp    INTEGER NOT NULL,
  PRIMARY KEY (device, grp)
) WITHOUT ROWID;
CREATE INDEX group_members_by_group ON group_members (grp, device);

-- What was said in groups, the latest of it. `bytes_before`: `bytes` of its group before it. `body`: a Saying in
-- msgpack.
CREATE TABLE sayings (
  grp      INTEGER NOT NULL,
  sequence INTEGER NOT NULL,
  bytes_before INTEGER NOT NULL,
  at       INTEGER NOT NULL,
  body     BLOB    NOT NULL,
  PRIMARY KEY (grp, sequence)
) WITHOUT ROWID;

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
  app    INTEGER NOT NULL,
  n      INTEGER NOT NULL,
  device TEXT    NOT NULL,
  body   BLOB    NOT NULL,
  PRIMARY KEY (app, n)
) WITHOUT ROWID;

-- Numbers of those for which later ones stand: when a queue is full they go first. Some may have gone before.
CREATE TABLE past (
  app INTEGER NOT NULL,
  n   INTEGER NOT NULL,
  PRIMARY KEY (app, n)
) WITHOUT ROWID;

-- The latest events of each device that tell of no state, as many as are the last to go: their numbers, of 8 bytes.
CREATE TABLE latest (
  app     INTEGER NOT NULL,
  device  TEXT    NOT NULL,
  numbers BLOB    NOT NULL,
  PRIMARY KEY (app, device)
) WITHOUT ROWID;

-- Devices that are gone: what was told of them up to this number is not read any more, and goes in slices.
CREATE TABLE forgotten (
  app    INTEGER NOT NULL,
  device TEXT    NOT NULL,
  n      INTEGER NOT NULL,
  PRIMARY KEY (app, device)
) WITHOUT ROWID;

-- What was counted, see counts.py. `span`: an hour or a day, in ms; `kind`: model.Counted.
CREATE TABLE counts (
  app  INTEGER NOT NULL,
  span INTEGER NOT NULL,
  at   INTEGER NOT NULL,
  kind INTEGER NOT NULL,
  n    INTEGER NOT NULL,
  PRIMARY KEY (app, span, at, kind)
) WITHOUT ROWID;

-- Which devices were there in the hour and the day that go on: a roaring bitmap of ordinals.
CREATE TABLE there (
  app      INTEGER NOT NULL,
  span     INTEGER NOT NULL,
  at       INTEGER NOT NULL,
  ordinals BLOB    NOT NULL,
  PRIMARY KEY (app, span)
);

-- Of each queue: its last number, how many events it has, their bytes, and the highest number that went when it was
-- full.
CREATE TABLE queues (
  app     INTEGER PRIMARY KEY,
  last    INTEGER NOT NULL,
  length  INTEGER NOT NULL,
  bytes   INTEGER NOT NULL,
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
  options    INTEGER NOT NULL, -- QoS, + 4: no local, + 8: retain as published, + 16: of a group
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
  share       TEXT, -- the filter of the group that it is for
  PRIMARY KEY (device, number, place)
) WITHOUT ROWID;
CREATE INDEX waiting_by_publication ON waiting (publication) WHERE publication IS NOT NULL;
CREATE INDEX waiting_released ON waiting (device, number, place) WHERE publication IS NULL;
CREATE INDEX waiting_for_groups ON waiting (device, number, place) WHERE share IS NOT NULL;

-- Packet identifiers of QoS 2 messages that came from a session and wait for PUBREL. `id`: the message's.
CREATE TABLE received (
  device    INTEGER NOT NULL,
  number    INTEGER NOT NULL,
  packet_id INTEGER NOT NULL,
  id        BLOB    NOT NULL,
  PRIMARY KEY (device, number, packet_id)
) WITHOUT ROWID;

-- Packet identifiers of pushes with QoS 2 that were sent to a session, or may have been. `id`: the message's.
CREATE TABLE flights (
  device    INTEGER NOT NULL,
  number    INTEGER NOT NULL,
  packet_id INTEGER NOT NULL,
  position  INTEGER NOT NULL,
  broadcast INTEGER NOT NULL,
  released  INTEGER NOT NULL, -- PUBREC has come
  id        TEXT    NOT NULL,
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
  body   BLOB    NOT NULL,
  awaits TEXT -- the node that is to tell how its connection has ended, which another has followed
);
CREATE INDEX wills_awaiting ON wills (awaits) WHERE awaits IS NOT NULL;
CREATE INDEX wills_by_connection ON wills (device, epoch);
CREATE INDEX wills_due ON wills (due) WHERE due IS NOT NULL;

-- Sessions that are over and have left something in the tables above, which goes in slices (see remains.py).
CREATE TABLE remains (
  device INTEGER NOT NULL,
  number INTEGER NOT NULL,
  sent   INTEGER NOT NULL, -- up to which place of the queue messages may have been written to a connection
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
  sender     TEXT    NOT NULL, -- the device that has published it; empty for none
  body       BLOB    NOT NULL
);
CREATE INDEX retained_by_sender ON retained (app, sender) WHERE sender <> '';
CREATE INDEX retained_by_topic ON retained (app, topic, expires_at, size);
CREATE INDEX retained_by_end ON retained (expires_at) WHERE expires_at > 0;

-- Devices that are gone, and have left some: what they had published by then goes, in slices. `at`: eight bytes, as
-- in a message's body.
CREATE TABLE retained_left (
  app    INTEGER NOT NULL,
  sender TEXT    NOT NULL,
  at     BLOB    NOT NULL,
  PRIMARY KEY (app, sender)
) WITHOUT ROWID;

-- What apps have of them; one that has none has no row.
CREATE TABLE retained_totals (
  app      INTEGER PRIMARY KEY,
  messages INTEGER NOT NULL,
  bytes    INTEGER NOT NULL
);

-- Devices that take messages and acknowledge none; one that does has no row. `parked_since`: 0 while it is not.
CREATE TABLE unanswered (
  device       INTEGER PRIMARY KEY,
  strikes      INTEGER NOT NULL,
  at           INTEGER NOT NULL, -- the latest
  parked_since INTEGER NOT NULL
);

-- What is to be sent later. `due`: 0 for never; `kind` and `open` as in the port. The key is a UUIDv7, which rises.
CREATE TABLE timers (
  app     INTEGER NOT NULL,
  kind    INTEGER NOT NULL,
  id      BLOB    NOT NULL,
  due     INTEGER NOT NULL,
  open    INTEGER NOT NULL,
  version INTEGER NOT NULL,
  body    BLOB    NOT NULL,
  PRIMARY KEY (app, id)
);
CREATE INDEX timers_by_kind ON timers (app, kind, id);
CREATE INDEX timers_by_due ON timers (app, due) WHERE due > 0;

-- What apps have of them: how many that are open of each kind, how many that are due some time, their bytes, and
-- when the first of them is due, 0 for never.
CREATE TABLE timer_totals (
  app       INTEGER PRIMARY KEY,
  messages  INTEGER NOT NULL,
  schedules INTEGER NOT NULL,
  waiting   INTEGER NOT NULL,
  bytes     INTEGER NOT NULL,
  due       INTEGER NOT NULL
);
CREATE INDEX timer_totals_by_due ON timer_totals (due) WHERE due > 0;

-- Keys of requests that brought some; `ids` of the timers in hexadecimal digits, one after the other.
CREATE TABLE timer_keys (
  app     INTEGER NOT NULL,
  key     TEXT    NOT NULL,
  digest  BLOB    NOT NULL,
  ids     TEXT    NOT NULL,
  ends_at INTEGER NOT NULL,
  PRIMARY KEY (app, key)
) WITHOUT ROWID;
CREATE INDEX timer_keys_by_end ON timer_keys (ends_at);

-- What devices should be like and say that they are like, as in the port.
CREATE TABLE shadows (
  device   INTEGER PRIMARY KEY,
  version  INTEGER NOT NULL,
  wanted   INTEGER NOT NULL,
  seen     INTEGER NOT NULL,
  desired  BLOB    NOT NULL,
  reported BLOB    NOT NULL
);

-- Webhooks, and what is kept of the events that their targets never took: how many, their bytes, how many of them are
-- to be sent once more, and how many were dropped.
CREATE TABLE webhooks (
  app     INTEGER PRIMARY KEY,
  version INTEGER NOT NULL,
  body    BLOB    NOT NULL,
  dead    INTEGER NOT NULL DEFAULT 0,
  bytes   INTEGER NOT NULL DEFAULT 0,
  again   INTEGER NOT NULL DEFAULT 0,
  dropped INTEGER NOT NULL DEFAULT 0
);

-- Those events, by the numbers that their cursors are; `again`: to be sent once more.
CREATE TABLE dead_events (
  app    INTEGER NOT NULL,
  n      INTEGER NOT NULL,
  device TEXT    NOT NULL,
  again  INTEGER NOT NULL,
  body   BLOB    NOT NULL,
  PRIMARY KEY (app, n)
);
CREATE INDEX dead_events_again ON dead_events (app, n) WHERE again;
CREATE INDEX dead_events_by_device ON dead_events (app, device);
-- Named keys of the API. `number`: of the only app that a key reaches, 0 for all. `expires_at`: 0 for never. `body`:
-- all of it, as JSON.
CREATE TABLE keys (
  id         BLOB PRIMARY KEY,
  number     INTEGER NOT NULL,
  expires_at INTEGER NOT NULL,
  body       TEXT    NOT NULL
) WITHOUT ROWID;
CREATE INDEX keys_by_app ON keys (number, id);

-- What was changed through the API, by UUIDv7, which rises. `app`: the name of what it is about, "" for none. `body`:
-- all of it, as JSON.
CREATE TABLE trail (
  id   BLOB PRIMARY KEY,
  app  TEXT    NOT NULL,
  at   INTEGER NOT NULL,
  body TEXT    NOT NULL
) WITHOUT ROWID;
CREATE INDEX trail_by_app ON trail (app, id);

-- How many of them there are about each app, and of all, `*`.
CREATE TABLE trail_totals (
  app     TEXT PRIMARY KEY,
  entries INTEGER NOT NULL
) WITHOUT ROWID;

-- Lives of processes that have told figures, `about`: what the values of their points are, as JSON; `told`: when they
-- did last.
CREATE TABLE figure_lives (
  id    INTEGER PRIMARY KEY,
  life  TEXT    NOT NULL UNIQUE,
  node  TEXT    NOT NULL,
  told  INTEGER NOT NULL,
  about TEXT    NOT NULL
);

-- What was told, in points of two kinds. `body`: a JSON array.
CREATE TABLE figure_points (
  life   INTEGER NOT NULL,
  coarse INTEGER NOT NULL,
  at     INTEGER NOT NULL,
  body   TEXT    NOT NULL,
  PRIMARY KEY (life, coarse, at)
) WITHOUT ROWID;
CREATE INDEX figure_points_by_time ON figure_points (coarse, at);

-- Profiles of processes, by UUIDv7, which rises. `size`: bytes of what is in it, which is deflated JSON; `head`: the
-- rest, as JSON.
CREATE TABLE profiles (
  id   BLOB PRIMARY KEY,
  node TEXT    NOT NULL,
  kind TEXT    NOT NULL,
  size INTEGER NOT NULL,
  head TEXT    NOT NULL
) WITHOUT ROWID;

CREATE TABLE profile_contents (
  id      BLOB PRIMARY KEY,
  content BLOB NOT NULL
);

PRAGMA user_version = 9;
