-- Stock as a bounded counter over both regions: `stocked` is what this region has the right to sell, and rights move. Additive: code of before
-- leaves `moved` at 0, and moves nothing.

-- What of `stocked` came from the other region; what the item began with is stocked - moved.
ALTER TABLE stock ADD COLUMN moved bigint NOT NULL DEFAULT 0;

-- Every transfer that this region took part in, once. Units below zero were given, above zero were taken in, and 0 tells that none could be spared.
CREATE TABLE rights_moved (
    transfer_id uuid   NOT NULL CONSTRAINT rights_moved_pkey PRIMARY KEY,
    sku         text   COLLATE "C" NOT NULL,
    quantity    bigint NOT NULL,
    moved_at    timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX rights_moved_sku ON rights_moved (sku) WHERE quantity <> 0;

-- What this region has asked the other one for: the last time, for each SKU.
CREATE TABLE rights_asked (
    sku         text   COLLATE "C" NOT NULL
        CONSTRAINT rights_asked_pkey PRIMARY KEY
        CONSTRAINT rights_asked_sku_fkey REFERENCES stock (sku),
    transfer_id uuid   NOT NULL CONSTRAINT rights_asked_transfer_id_key UNIQUE,
    wanted      bigint NOT NULL CONSTRAINT rights_asked_wanted_check CHECK (wanted > 0),
    is_urgent   boolean NOT NULL,
    asked_at    timestamptz NOT NULL DEFAULT now(),
    given       bigint CONSTRAINT rights_asked_given_check CHECK (given >= 0),
    answered_at timestamptz,
    CONSTRAINT rights_asked_answer_check CHECK ((given IS NULL) = (answered_at IS NULL))
);
