-- Which way an order goes: what a shopper's cancel and the capture race for under the row's lock, and whether a shipped order is being sent
-- back. It is part of the row, so the other region knows it too when it takes the order over. Additive: older code leaves the course at
-- 'open', moves the state alone, and its orders can be cancelled until they are confirmed. Both regions are migrated before either serves,
-- because a subscriber must have every column that it is sent.

ALTER TABLE orders
    ADD COLUMN course text NOT NULL DEFAULT 'open'
        CONSTRAINT orders_course_check CHECK (course IN ('open', 'cancelling', 'passed', 'returning')),
    DROP CONSTRAINT orders_state_check,
    ADD CONSTRAINT orders_state_check CHECK (state IN ('placed', 'confirmed', 'shipped', 'returned', 'cancelled'));
-- What the sweeper looks for.
CREATE INDEX orders_returning ON orders (order_id) WHERE state = 'shipped' AND course = 'returning';

-- Local to the region, as `sagas`: which return workflows were started.
CREATE TABLE returns (
    order_id   uuid        NOT NULL CONSTRAINT returns_pkey PRIMARY KEY,
    started_at timestamptz NOT NULL DEFAULT now()
);
