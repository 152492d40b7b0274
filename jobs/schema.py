"""The tables of jobs.db, as migrations: step n leads from version n to n + 1 and never changes once released."""

V1 = """
CREATE TABLE jobs (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL UNIQUE,
  kind TEXT NOT NULL,
  request TEXT NOT NULL CHECK (json_valid(request)),
  owner TEXT NOT NULL,
  priority INTEGER NOT NULL CHECK (typeof(priority) = 'integer'),
  key TEXT,
  parent TEXT,
  state TEXT NOT NULL CHECK (state IN ('queued', 'running', 'paused', 'done', 'failed', 'cancelled')),
  wish TEXT CHECK (wish IS NULL OR (state = 'running' AND wish IN ('cancel', 'pause'))),
  attempt INTEGER NOT NULL DEFAULT 0,
  fence INTEGER NOT NULL DEFAULT 0,
  failures INTEGER NOT NULL DEFAULT 0,
  losses INTEGER NOT NULL DEFAULT 0,
  not_before REAL NOT NULL DEFAULT 0,
  worker TEXT CHECK (state <> 'running' OR worker IS NOT NULL),
  device TEXT,
  lease_boot TEXT,
  lease_mono REAL,
  lease_wall REAL,
  stage TEXT,
  step INTEGER,
  total INTEGER,
  seconds_left REAL,
  resumed_from INTEGER,
  checkpoint_step INTEGER,
  checkpoint_at REAL,
  created REAL NOT NULL,
  started REAL,
  ended REAL,
  ran REAL NOT NULL DEFAULT 0,
  bytes INTEGER NOT NULL DEFAULT 0,
  error TEXT,
  outputs TEXT NOT NULL DEFAULT '[]' CHECK (json_valid(outputs) AND (state <> 'done' OR outputs <> '[]')),
  deleting INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE UNIQUE INDEX jobs_key ON jobs (owner, key) WHERE key IS NOT NULL;
CREATE INDEX jobs_state ON jobs (state, seq);
CREATE INDEX jobs_owner ON jobs (owner, state, seq);
CREATE INDEX jobs_deleting ON jobs (id) WHERE deleting;
CREATE INDEX jobs_bytes ON jobs (bytes) WHERE bytes > 0;
CREATE INDEX jobs_owner_fence ON jobs (owner, fence);
CREATE INDEX jobs_fence ON jobs (fence);
CREATE TABLE workers (
  id TEXT PRIMARY KEY,
  devices TEXT NOT NULL,
  note TEXT NOT NULL DEFAULT '',
  seen REAL NOT NULL
) STRICT;
"""

# Figures for monitoring. The table counts them itself, whichever process writes; they only grow.
V2 = """
CREATE TABLE totals (name TEXT PRIMARY KEY, value REAL NOT NULL) STRICT;
INSERT INTO totals VALUES
  ('attempts', 0), ('starts', 0), ('wait_seconds', 0), ('leases_lost', 0),
  ('checkpoints', 0), ('checkpoint_seconds', 0);
CREATE TRIGGER count_attempts AFTER UPDATE OF fence ON jobs BEGIN
  UPDATE totals SET value = value + 1 WHERE name = 'attempts';
END;
CREATE TRIGGER count_starts AFTER UPDATE OF started ON jobs WHEN OLD.started IS NULL AND NEW.started IS NOT NULL BEGIN
  UPDATE totals SET value = value + 1 WHERE name = 'starts';
  UPDATE totals SET value = value + MAX(0, NEW.started - NEW.created) WHERE name = 'wait_seconds';
END;
CREATE TRIGGER count_leases_lost AFTER UPDATE OF losses ON jobs WHEN NEW.losses > OLD.losses BEGIN
  UPDATE totals SET value = value + 1 WHERE name = 'leases_lost';
END;
"""

STEPS = (V1, V2)

# `fence` is the number of the claim, counted over all jobs; every write of a worker names it.
# Highest priority first; then the owner whose last start is longest ago; then first come, first served.
# A not_before further ahead than any back-off comes from a clock that jumped, and is ignored.
CLAIM = """
UPDATE jobs SET
  state = 'running', attempt = attempt + 1, fence = (SELECT COALESCE(MAX(fence), 0) + 1 FROM jobs),
  worker = :worker, device = :device, lease_boot = :boot, lease_mono = :mono, lease_wall = :until,
  started = COALESCE(started, :wall), ended = NULL, error = NULL, seconds_left = NULL, resumed_from = NULL
WHERE seq = (
  SELECT j.seq FROM jobs j
  WHERE j.state = 'queued' AND NOT j.deleting AND (j.not_before <= :wall OR j.not_before > :wall + :cap)
    AND (SELECT COUNT(*) FROM jobs r WHERE r.owner = j.owner AND r.state = 'running') < :per_owner
  ORDER BY j.priority DESC, (SELECT COALESCE(MAX(o.fence), 0) FROM jobs o WHERE o.owner = j.owner), j.seq
  LIMIT 1
) AND NOT EXISTS (SELECT 1 FROM jobs d WHERE d.state = 'running' AND d.device = :device)
RETURNING *
"""

BEAT = """
UPDATE jobs SET
  lease_boot = :boot, lease_mono = :mono, lease_wall = :until,
  stage = COALESCE(:stage, stage), step = COALESCE(:step, step), total = COALESCE(:total, total),
  seconds_left = COALESCE(:seconds_left, seconds_left), resumed_from = COALESCE(:resumed_from, resumed_from),
  failures = CASE WHEN :checkpoint_step > COALESCE(checkpoint_step, -1) THEN 0 ELSE failures END,
  losses = CASE WHEN :checkpoint_step > COALESCE(checkpoint_step, -1) THEN 0 ELSE losses END,
  checkpoint_step = COALESCE(MAX(:checkpoint_step, COALESCE(checkpoint_step, -1)), checkpoint_step),
  checkpoint_at = COALESCE(:checkpoint_at, checkpoint_at),
  bytes = COALESCE(:bytes, bytes), ran = ran + :ran
WHERE id = :id AND fence = :fence AND state = 'running'
RETURNING wish
"""
