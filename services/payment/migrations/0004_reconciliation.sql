-- Comparisons of a day with the provider's list. Additive.

CREATE TABLE reconciliation_runs (
    run_id     bigint      GENERATED ALWAYS AS IDENTITY CONSTRAINT reconciliation_runs_pkey PRIMARY KEY,
    day        date        NOT NULL,
    ended_at   timestamptz NOT NULL DEFAULT now(),
    movements  integer     NOT NULL,
    is_settled boolean     NOT NULL
);
CREATE INDEX reconciliation_runs_day ON reconciliation_runs (day, run_id);

CREATE TABLE reconciliation_differences (
    run_id             bigint  NOT NULL CONSTRAINT reconciliation_differences_run_id_fkey REFERENCES reconciliation_runs (run_id),
    kind               text    NOT NULL CONSTRAINT reconciliation_differences_kind_check CHECK
        (kind IN ('missing_in_ledger', 'missing_at_psp', 'amount')),
    cause              text    NOT NULL,
    source_id          text    NOT NULL,
    order_id           uuid,
    at_psp_minor       bigint,
    at_psp_currency    text,
    in_ledger_minor    bigint,
    in_ledger_currency text,
    is_resolved        boolean NOT NULL,
    CONSTRAINT reconciliation_differences_pkey PRIMARY KEY (run_id, cause, source_id)
);

CREATE TABLE reconciliation_totals (
    run_id          bigint NOT NULL CONSTRAINT reconciliation_totals_run_id_fkey REFERENCES reconciliation_runs (run_id),
    currency        text   NOT NULL,
    at_psp_minor    bigint NOT NULL,
    in_ledger_minor bigint NOT NULL,
    CONSTRAINT reconciliation_totals_pkey PRIMARY KEY (run_id, currency)
);
