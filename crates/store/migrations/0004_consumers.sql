-- How far each consumer has come, committed with what it did; and which messages are among the dead letters: what comes later for the key of one
-- goes there too, until all of them were replayed or dropped, so that the key's order holds.

CREATE TABLE consumer_offsets (
    consumer    text   NOT NULL,
    topic       text   NOT NULL,
    partition   int    NOT NULL,
    next_offset bigint NOT NULL,
    CONSTRAINT consumer_offsets_pkey PRIMARY KEY (consumer, topic, partition)
);

CREATE TABLE dead_letters (
    letter_no bigint      GENERATED ALWAYS AS IDENTITY,
    consumer  text        NOT NULL,
    event_id  uuid        NOT NULL,
    topic     text        NOT NULL,
    key       text        NOT NULL,
    cause     text        NOT NULL,
    buried_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT dead_letters_pkey PRIMARY KEY (consumer, event_id)
);
CREATE INDEX dead_letters_key ON dead_letters (consumer, topic, key, letter_no);
