-- Outbox and inbox by day: what is old goes by dropping a table, not by deleting row after row. The outbox is read from the WAL from now on
-- (docs/adr/0006-outbox-from-the-wal.md), so nobody marks its rows. Code of before cannot run beside this: it looks for `sent_at`.

ALTER TABLE outbox RENAME TO outbox_before;
ALTER TABLE inbox RENAME TO inbox_before;
ALTER INDEX outbox_pkey RENAME TO outbox_before_pkey;
ALTER INDEX inbox_pkey RENAME TO inbox_before_pkey;

-- Ids of one key grow in commit order: the writer holds the aggregate's row.
CREATE SEQUENCE outbox_id;
CREATE TABLE outbox (
    id          bigint      NOT NULL DEFAULT nextval('outbox_id'),
    event_id    uuid        NOT NULL,
    topic       text        NOT NULL,
    key         text        NOT NULL,
    type        text        NOT NULL,
    payload     bytea       NOT NULL,
    traceparent text,
    created_at  timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT outbox_pkey PRIMARY KEY (id, created_at)
) PARTITION BY RANGE (created_at);
ALTER SEQUENCE outbox_id OWNED BY outbox.id;

-- `event_at` is part of the event's id, so an event that comes again comes to the same day.
CREATE TABLE inbox (
    consumer text        NOT NULL,
    event_id uuid        NOT NULL,
    event_at timestamptz NOT NULL,
    CONSTRAINT inbox_pkey PRIMARY KEY (consumer, event_id, event_at)
) PARTITION BY RANGE (event_at);

-- Days that have no table of their own: rows are never refused for want of one.
CREATE TABLE outbox_other PARTITION OF outbox DEFAULT;
CREATE TABLE inbox_other PARTITION OF inbox DEFAULT;

-- Gives `parent` a table for `day` (UTC). Writers are not held up: attaching locks only the table for other days, for a moment.
CREATE FUNCTION make_day(parent text, moment text, day date) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    child text := parent || to_char(day, '_YYYYMMDD');
    from_ timestamptz := day::timestamp AT TIME ZONE 'UTC';
    to_ timestamptz := (day + 1)::timestamp AT TIME ZONE 'UTC';
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('days of ' || current_schema(), 0));
    IF to_regclass(quote_ident(child)) IS NOT NULL THEN RETURN; END IF;
    EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING DEFAULTS INCLUDING INDEXES)', child, parent);
    EXECUTE format('LOCK TABLE %I IN ACCESS EXCLUSIVE MODE', parent || '_other');
    EXECUTE format('WITH moved AS (DELETE FROM %I WHERE %I >= $1 AND %I < $2 RETURNING *) INSERT INTO %I SELECT * FROM moved',
                   parent || '_other', moment, moment, child) USING from_, to_;
    EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', parent, child, from_, to_);
END $$;

-- Drops the tables of `parent` whose day ended before `before`, and says how many.
CREATE FUNCTION drop_days(parent text, before timestamptz) RETURNS int LANGUAGE plpgsql AS $$
DECLARE
    child text;
    dropped int := 0;
BEGIN
    FOR child IN
        SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = to_regclass(quote_ident(parent)) AND c.relname ~ '_[0-9]{8}$'
          AND (to_date(right(c.relname, 8), 'YYYYMMDD') + 1)::timestamp AT TIME ZONE 'UTC' <= before
    LOOP
        EXECUTE format('DROP TABLE %I', child);
        dropped := dropped + 1;
    END LOOP;
    RETURN dropped;
END $$;

SELECT make_day('outbox', 'created_at', (now() AT TIME ZONE 'UTC')::date + ahead) FROM generate_series(0, 2) AS ahead;
SELECT make_day('inbox', 'event_at', (now() AT TIME ZONE 'UTC')::date + ahead) FROM generate_series(-1, 2) AS ahead;

-- Events that Kafka will never take, e.g. for their size. Kept for good.
CREATE TABLE outbox_refused (
    event_id   uuid        NOT NULL CONSTRAINT outbox_refused_pkey PRIMARY KEY,
    topic      text        NOT NULL,
    key        text        NOT NULL,
    cause      text        NOT NULL,
    refused_at timestamptz NOT NULL DEFAULT now()
);

-- How far the relay has come, for the case that the server loses its slot: all that was committed up to `confirmed_at` is in Kafka.
CREATE TABLE outbox_progress (
    only_row       boolean     NOT NULL DEFAULT true CONSTRAINT outbox_progress_pkey PRIMARY KEY CONSTRAINT outbox_progress_check CHECK (only_row),
    confirmed_at   timestamptz NOT NULL,
    is_interrupted boolean     NOT NULL
);
INSERT INTO outbox_progress (confirmed_at, is_interrupted) VALUES ('1970-01-01Z', true);

INSERT INTO outbox_refused (event_id, topic, key, cause) SELECT event_id, topic, key, refused FROM outbox_before WHERE refused IS NOT NULL;
INSERT INTO outbox (event_id, topic, key, type, payload, traceparent)
    SELECT event_id, topic, key, type, payload, traceparent FROM outbox_before WHERE sent_at IS NULL ORDER BY id;
-- The first 48 bits of a UUIDv7 are its time in milliseconds.
INSERT INTO inbox (consumer, event_id, event_at)
    SELECT consumer, event_id,
           CASE WHEN substr(event_id::text, 15, 1) = '7'
                THEN to_timestamp(('x' || lpad(left(replace(event_id::text, '-', ''), 12), 16, '0'))::bit(64)::bigint / 1000.0)
                ELSE '1970-01-01Z' END
    FROM inbox_before;
DROP TABLE outbox_before, inbox_before;

-- What the relay reads. Its name says whose it is: publications have no schema.
DO $$ BEGIN
    EXECUTE format('CREATE PUBLICATION %I FOR TABLE outbox WITH (publish = ''insert'', publish_via_partition_root = true)', current_schema() || '_outbox');
END $$;
