-- Who may write which rows: made in every database `market` by its superuser, before any service's migrations, and safe to repeat.
-- `{region}` is the region of the database, `{peer}` the other one. The design: docs/adr/0015-takeover.md.
--
-- A row belongs to a home, which is eu or us; its holder is the one region that may write it now. The region service says who holds what, with an
-- epoch that grows by one whenever that changes, and for how long it is true.

CREATE OR REPLACE FUNCTION region.self() RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN '{region}'::text;
CREATE OR REPLACE FUNCTION region.peer() RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN '{peer}'::text;

-- What the region service said last. Until it has said something nobody writes.
CREATE TABLE IF NOT EXISTS region.homes (
    home        text        NOT NULL CONSTRAINT homes_pkey PRIMARY KEY CONSTRAINT homes_home_check CHECK (home IN ('eu', 'us')),
    holder      text        NOT NULL CONSTRAINT homes_holder_check CHECK (holder IN ('eu', 'us')),
    epoch       bigint      NOT NULL CONSTRAINT homes_epoch_check CHECK (epoch >= 0),
    valid_until timestamptz NOT NULL
) WITH (fillfactor = 50);
INSERT INTO region.homes (home, holder, epoch, valid_until)
    SELECT home, home, 0, '-infinity' FROM (VALUES ('eu'), ('us')) AS home (home) ON CONFLICT DO NOTHING;

-- Rows of the other region that came too late: their home had been taken over. Kept as they came.
CREATE TABLE IF NOT EXISTS region.refused (
    refused_no bigint      GENERATED ALWAYS AS IDENTITY CONSTRAINT refused_pkey PRIMARY KEY,
    tbl        text        NOT NULL,
    op         text        NOT NULL,
    pk         jsonb       NOT NULL,
    home       text        NOT NULL,
    epoch      bigint      NOT NULL,
    content    jsonb       NOT NULL,
    refused_at timestamptz NOT NULL DEFAULT now(),
    seen_to_at timestamptz
);
CREATE INDEX IF NOT EXISTS refused_open ON region.refused (refused_no) WHERE seen_to_at IS NULL;

-- Rows that the other region must forget: it wrote them when its home was no longer its own, and nobody was told that they are there.
CREATE TABLE IF NOT EXISTS region.undone (
    undone_no bigint      GENERATED ALWAYS AS IDENTITY,
    by_region text        NOT NULL DEFAULT region.self(),
    tbl       text        NOT NULL,
    pk        jsonb       NOT NULL,
    epoch     bigint      NOT NULL,
    undone_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT undone_pkey PRIMARY KEY (by_region, undone_no)
);

-- Where a holder began: how far it had heard the region that held the home before and was gone, as a position in that one's write-ahead log; null when
-- that one had handed it over. Mirrored.
CREATE TABLE IF NOT EXISTS region.heard (
    home      text   NOT NULL,
    epoch     bigint NOT NULL,
    by_region text   NOT NULL,
    heard_to  pg_lsn,
    CONSTRAINT heard_pkey PRIMARY KEY (home, epoch, by_region)
);

-- When this region learned that a home which it held under `was_epoch` has another holder: a position in its own write-ahead log, behind all that it
-- wrote as the holder. Null until that is over.
CREATE TABLE IF NOT EXISTS region.lost (
    home       text   NOT NULL,
    epoch      bigint NOT NULL,
    was_epoch  bigint NOT NULL,
    learned_at pg_lsn,
    CONSTRAINT lost_pkey PRIMARY KEY (home, epoch)
);

-- `home_` is held by `holder_` with `epoch_`, and that is true for `valid_ms` from now. What begins later keeps to it; who closes a home then waits for
-- `relying` to come to their end. (To wait for a lock instead would keep all that come later waiting behind it, also those that the wait is for.)
CREATE OR REPLACE FUNCTION region.set_home(home_ text, holder_ text, epoch_ bigint, valid_ms bigint) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE
    before region.homes;
BEGIN
    SELECT * INTO before FROM region.homes WHERE home = home_ FOR UPDATE;
    IF epoch_ < before.epoch THEN RETURN; END IF;
    UPDATE region.homes SET holder = holder_, epoch = epoch_, valid_until = clock_timestamp() + valid_ms * interval '1 millisecond'
        WHERE home = home_;
    IF epoch_ = before.epoch THEN RETURN; END IF;
    IF holder_ = region.self() THEN
        UPDATE region.lost SET learned_at = pg_current_wal_insert_lsn() WHERE home = home_ AND learned_at IS NULL;
        -- A home is taken from one that is gone only after its subscription was stopped.
        INSERT INTO region.heard (home, epoch, by_region, heard_to) VALUES (home_, epoch_, holder_, (
            SELECT coalesce(remote_lsn, '0/0') FROM pg_subscription LEFT JOIN pg_replication_origin_status ON external_id = 'pg_' || oid
                WHERE subname = 'market_from_' || region.peer() AND NOT subenabled
                    AND subdbid = (SELECT oid FROM pg_database WHERE datname = current_database())));
    ELSIF before.holder = region.self() THEN
        INSERT INTO region.lost (home, epoch, was_epoch) VALUES (home_, epoch_, before.epoch);
    END IF;
END $$;

-- The transactions that have passed the fence of `home_` and are not over.
CREATE OR REPLACE FUNCTION region.relying(home_ text) RETURNS SETOF text LANGUAGE sql SET search_path = pg_catalog AS $$
    SELECT virtualtransaction FROM pg_locks
        WHERE locktype = 'advisory' AND granted AND objsubid = 1
            AND ((classid::bigint << 32) | objid::bigint) = hashtextextended('home ' || home_, 0)
            AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
$$;

-- Whether this region may write rows of `home_` now.
CREATE OR REPLACE FUNCTION region.holds(home_ text) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog
RETURN EXISTS (SELECT 1 FROM region.homes WHERE home = home_ AND holder = region.self() AND valid_until > clock_timestamp());

-- Lets the subscription to `peer` go on, or stops it: then nothing that waits for the mirror is acknowledged there.
CREATE OR REPLACE FUNCTION region.listen_to(peer text, is_enabled boolean) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE
    name text := 'market_from_' || peer;
BEGIN
    IF EXISTS (SELECT 1 FROM pg_subscription WHERE subname = name AND subenabled <> is_enabled) THEN
        EXECUTE format('ALTER SUBSCRIPTION %I %s', name, CASE WHEN is_enabled THEN 'ENABLE' ELSE 'DISABLE' END);
    END IF;
END $$;

-- Before a row is written here: only by its home's holder, and with its epoch. The lock says that the transaction relies on it: see `relying`.
-- Arguments: `home_region` when that is what the row calls its home; `waits` when its commit waits for the other region.
CREATE OR REPLACE FUNCTION region.fence() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE
    home_ text;
    epoch_ bigint;
BEGIN
    IF TG_NARGS > 0 AND TG_ARGV[0] = 'home_region' THEN
        IF TG_OP = 'DELETE' THEN home_ := OLD.home_region; ELSE home_ := NEW.home_region; END IF;
    ELSE
        IF TG_OP = 'DELETE' THEN home_ := OLD.home; ELSE home_ := NEW.home; END IF;
    END IF;
    PERFORM pg_advisory_xact_lock_shared(hashtextextended('home ' || home_, 0));
    SELECT h.epoch INTO epoch_ FROM region.homes h
        WHERE h.home = home_ AND h.holder = region.self() AND h.valid_until > clock_timestamp();
    IF NOT FOUND THEN
        RAISE EXCEPTION 'region % does not hold home % now', region.self(), home_
            USING ERRCODE = 'RG001', HINT = 'Nothing was written. Ask the region that holds it: backbone region status.';
    END IF;
    IF TG_NARGS > 0 AND TG_ARGV[TG_NARGS - 1] = 'waits' THEN
        PERFORM set_config('synchronous_commit', 'on', true);
    END IF;
    IF TG_OP = 'DELETE' THEN RETURN OLD; END IF;
    NEW.epoch := epoch_;
    RETURN NEW;
END $$;

-- Before a row of the other region is taken in. What was written under an epoch that is over here is refused and kept. A row of this region's own
-- home that is here already was written when it no longer held that, and is replaced. The arguments are the columns of the primary key, after
-- `home_region` when that is what the row calls its home.
CREATE OR REPLACE FUNCTION region.admit() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE
    home_ text;
    key_ text[] := TG_ARGV;
BEGIN
    IF region.is_filling() THEN RETURN NEW; END IF;
    IF key_[0] = 'home_region' THEN
        home_ := NEW.home_region;
        key_ := key_[1:];
    ELSE
        home_ := NEW.home;
    END IF;
    IF region.is_over(home_, NEW.epoch) THEN
        PERFORM region.refuse(format('%I.%I', TG_TABLE_SCHEMA, TG_TABLE_NAME), TG_OP, key_, home_, NEW.epoch, to_jsonb(NEW));
        RETURN NULL;
    END IF;
    IF TG_OP = 'INSERT' AND home_ = region.self() THEN
        EXECUTE format('DELETE FROM %I.%I WHERE (%s) = (%s)', TG_TABLE_SCHEMA, TG_TABLE_NAME,
            (SELECT string_agg(format('%I', k), ', ') FROM unnest(key_) AS k),
            (SELECT string_agg(format('($1).%I', k), ', ') FROM unnest(key_) AS k)) USING NEW;
    END IF;
    RETURN NEW;
END $$;

-- Whether rows are being copied before any service runs: they are taken as they are.
CREATE OR REPLACE FUNCTION region.is_filling() RETURNS boolean LANGUAGE sql STABLE
RETURN coalesce(current_setting('region.is_filling', true) = 'on', false);

-- Whether `epoch_` of `home_` is over: this region has taken the home over since. While nobody has said who holds what, the mirror waits.
CREATE OR REPLACE FUNCTION region.is_over(home_ text, epoch_ bigint) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
DECLARE
    h region.homes;
BEGIN
    SELECT * INTO h FROM region.homes WHERE home = home_;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'it is not known who holds home %', home_ USING ERRCODE = 'RG002', HINT = 'The region service says it when it runs.';
    END IF;
    RETURN h.holder = region.self() AND epoch_ < h.epoch;
END $$;

-- Whether a row that is here was written by this region when it no longer held the row's home. A region whose time is up does not know yet.
CREATE OR REPLACE FUNCTION region.is_abandoned(home_ text, epoch_ bigint) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
DECLARE
    h region.homes;
BEGIN
    SELECT * INTO h FROM region.homes WHERE home = home_;
    IF home_ <> region.self() THEN RETURN false; END IF;
    IF h.holder = region.self() AND h.valid_until <= clock_timestamp() THEN
        RAISE EXCEPTION 'it is not known who holds home %', home_ USING ERRCODE = 'RG002', HINT = 'The region service says it when it runs.';
    END IF;
    RETURN epoch_ < h.epoch;
END $$;

-- Keeps a row that is not taken in.
CREATE OR REPLACE FUNCTION region.refuse(tbl_ text, op_ text, key_ text[], home_ text, epoch_ bigint, row_ jsonb) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog AS $$
    INSERT INTO region.refused (tbl, op, pk, home, epoch, content)
        SELECT tbl_, op_, (SELECT jsonb_object_agg(k, row_ -> k) FROM unnest(key_) AS k), home_, epoch_, row_
$$;

-- Sees to rows that were refused, and says to how many: what is here too is stamped anew, so that it travels back and replaces them; what is not must
-- be forgotten there. Only the holder can.
CREATE OR REPLACE FUNCTION region.heal() RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE
    one region.refused;
    columns text;
    condition text;
    is_here boolean;
    healed bigint := 0;
BEGIN
    FOR one IN SELECT * FROM region.refused WHERE seen_to_at IS NULL ORDER BY refused_no LIMIT 1000 FOR UPDATE LOOP
        SELECT string_agg(format('%I', k), ', ') INTO columns FROM jsonb_object_keys(one.pk) AS k;
        condition := format('(%s) = (SELECT %s FROM jsonb_populate_record(NULL::%s, $1))', columns, columns, one.tbl);
        EXECUTE format('SELECT EXISTS (SELECT 1 FROM %s WHERE %s)', one.tbl, condition) INTO is_here USING one.pk;
        IF NOT is_here THEN
            INSERT INTO region.undone (tbl, pk, epoch) VALUES (one.tbl, one.pk, one.epoch);
        ELSIF one.op = 'UPDATE' THEN
            EXECUTE format('UPDATE %s SET epoch = epoch WHERE %s AND epoch <= $2', one.tbl, condition) USING one.pk, one.epoch;
        END IF;
        UPDATE region.refused SET seen_to_at = now() WHERE refused_no = one.refused_no;
        healed := healed + 1;
    END LOOP;
    RETURN healed;
END $$;

-- Forgets a row, as the other region asks.
CREATE OR REPLACE FUNCTION region.undo() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE
    columns text;
BEGIN
    SELECT string_agg(format('%I', k), ', ') INTO columns FROM jsonb_object_keys(NEW.pk) AS k;
    EXECUTE format('DELETE FROM %s WHERE (%s) = (SELECT %s FROM jsonb_populate_record(NULL::%s, $1)) AND epoch <= $2',
        NEW.tbl, columns, columns, NEW.tbl) USING NEW.pk, NEW.epoch;
    RETURN NULL;
END $$;
CREATE OR REPLACE TRIGGER undo AFTER INSERT ON region.undone FOR EACH ROW EXECUTE FUNCTION region.undo();
ALTER TABLE region.undone ENABLE REPLICA TRIGGER undo;

-- How far the write-ahead log of this database may be told outside: to where the other region has it too, or all of it when nobody waits for that one.
-- Nothing while it is not known whether this region still holds what it held, or how much of that was heard. `undone` are parts whose changes of a home are
-- undone: [from, to). Positions are in bytes.
CREATE OR REPLACE FUNCTION region.told(OUT upto bigint, OUT undone_home text[], OUT undone_from bigint[], OUT undone_to bigint[])
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
BEGIN
    UPDATE region.lost SET learned_at = pg_current_wal_insert_lsn()
        WHERE learned_at IS NULL AND NOT EXISTS (SELECT 1 FROM region.relying(home));
    upto := CASE
        WHEN EXISTS (SELECT 1 FROM region.homes WHERE holder = region.self() AND valid_until <= clock_timestamp())
            OR EXISTS (SELECT 1 FROM region.lost AS l WHERE learned_at IS NULL
                OR NOT EXISTS (SELECT 1 FROM region.heard AS h WHERE h.home = l.home AND h.epoch >= l.epoch))
        THEN 0
        WHEN current_setting('synchronous_standby_names') = '' THEN (pg_current_wal_flush_lsn() - '0/0')::bigint
        -- What the other region's subscription has confirmed; the function costs a third of the views.
        ELSE coalesce((SELECT confirmed_flush_lsn FROM pg_get_replication_slots() WHERE slot_name = 'market_from_' || region.self()) - '0/0', 0)::bigint
    END;
    SELECT coalesce(array_agg(l.home), '{}'), coalesce(array_agg((h.heard_to - '0/0')::bigint), '{}'), coalesce(array_agg((l.learned_at - '0/0')::bigint), '{}') INTO undone_home, undone_from, undone_to
        FROM region.lost AS l JOIN region.heard AS h ON h.home = l.home AND h.by_region <> region.self() AND h.epoch > l.was_epoch
        WHERE h.heard_to < l.learned_at AND NOT EXISTS (
            SELECT 1 FROM region.heard AS own
            WHERE own.home = l.home AND own.by_region = region.self() AND own.epoch > l.was_epoch AND own.epoch < h.epoch);
END $$;

DO $$ BEGIN
    IF NOT EXISTS (SELECT 1 FROM pg_publication WHERE pubname = 'region_mirror') THEN
        CREATE PUBLICATION region_mirror FOR TABLE region.undone WITH (publish = 'insert');
    END IF;
    IF NOT EXISTS (SELECT 1 FROM pg_publication_tables WHERE pubname = 'region_mirror' AND tablename = 'heard') THEN
        ALTER PUBLICATION region_mirror ADD TABLE region.heard;
    END IF;
END $$;

-- Every service's tables have these triggers and this default; only the region service says who holds what.
GRANT USAGE ON SCHEMA region TO PUBLIC;
GRANT SELECT ON region.homes TO PUBLIC;
REVOKE ALL ON FUNCTION region.set_home, region.listen_to, region.heal FROM PUBLIC;
GRANT EXECUTE ON FUNCTION region.set_home, region.listen_to, region.heal TO region;
GRANT SELECT ON region.refused TO region;
