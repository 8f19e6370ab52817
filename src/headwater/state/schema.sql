-- Made by headwater.state.migrations.make_schema of the tables in tables.py.
CREATE TABLE access_requests (
    id VARCHAR(16) NOT NULL,
    environment VARCHAR NOT NULL,
    user_name VARCHAR(128) NOT NULL,
    table_name VARCHAR NOT NULL,
    action VARCHAR(16),
    role VARCHAR,
    columns JSON NOT NULL,
    unmask JSON NOT NULL,
    purpose JSON NOT NULL,
    until VARCHAR(32) NOT NULL,
    reason VARCHAR NOT NULL,
    requested_by VARCHAR(128) NOT NULL,
    requested_at VARCHAR(32) NOT NULL,
    approved_by VARCHAR(128),
    approved_at VARCHAR(32),
    revoked_by VARCHAR(128),
    revoked_at VARCHAR(32),
    PRIMARY KEY (id)
);
CREATE INDEX access_requests_user ON access_requests (environment, user_name);
CREATE TABLE audit (
    seq INTEGER NOT NULL,
    at VARCHAR(32) NOT NULL,
    environment VARCHAR NOT NULL,
    query_id VARCHAR NOT NULL,
    principal VARCHAR NOT NULL,
    asked_by VARCHAR,
    groups JSON NOT NULL,
    door VARCHAR(16) NOT NULL,
    address VARCHAR,
    purpose VARCHAR,
    action VARCHAR(32) NOT NULL,
    sql VARCHAR NOT NULL,
    tables JSON NOT NULL,
    columns JSON NOT NULL,
    rows BIGINT,
    decision VARCHAR(8) NOT NULL,
    error VARCHAR NOT NULL,
    policy_version VARCHAR NOT NULL,
    seconds FLOAT,
    previous VARCHAR(64) NOT NULL,
    hash VARCHAR(64) NOT NULL,
    PRIMARY KEY (seq)
);
CREATE INDEX audit_asked_by ON audit (asked_by, at);
CREATE INDEX audit_at ON audit (at);
CREATE INDEX audit_principal ON audit (principal, at);
CREATE TABLE audit_chain (
    chain VARCHAR(32) NOT NULL,
    seq BIGINT NOT NULL,
    hash VARCHAR(64) NOT NULL,
    PRIMARY KEY (chain)
);
CREATE TABLE events (
    id INTEGER NOT NULL,
    run_id VARCHAR(40) NOT NULL,
    at VARCHAR(32) NOT NULL,
    name VARCHAR NOT NULL,
    table_name VARCHAR,
    data JSON NOT NULL,
    PRIMARY KEY (id)
);
CREATE INDEX events_run ON events (run_id, table_name);
CREATE TABLE export_refusals (
    plan_id VARCHAR(40) NOT NULL,
    ordinal BIGINT NOT NULL,
    reason VARCHAR NOT NULL,
    at VARCHAR(32) NOT NULL,
    PRIMARY KEY (plan_id, ordinal)
);
CREATE TABLE export_runs (
    id VARCHAR(40) NOT NULL,
    environment VARCHAR NOT NULL,
    name VARCHAR(64) NOT NULL,
    status VARCHAR(12) NOT NULL,
    epoch BIGINT NOT NULL,
    snapshot_id BIGINT,
    principal VARCHAR(128) NOT NULL,
    target VARCHAR(64) NOT NULL,
    columns JSON NOT NULL,
    batches BIGINT NOT NULL,
    acknowledged BIGINT NOT NULL,
    inserted BIGINT NOT NULL,
    updated BIGINT NOT NULL,
    deleted BIGINT NOT NULL,
    dead BIGINT NOT NULL,
    started_at VARCHAR(32) NOT NULL,
    finished_at VARCHAR(32),
    error_code VARCHAR(10),
    error_text VARCHAR,
    PRIMARY KEY (id)
);
CREATE INDEX export_runs_name ON export_runs (environment, name, started_at);
CREATE TABLE identity (
    name VARCHAR(32) NOT NULL,
    value VARCHAR NOT NULL,
    PRIMARY KEY (name)
);
CREATE TABLE leases (
    environment VARCHAR NOT NULL,
    table_key VARCHAR NOT NULL,
    token BIGINT NOT NULL,
    holder VARCHAR(40),
    ttl_seconds FLOAT,
    expires_at VARCHAR(32),
    PRIMARY KEY (environment, table_key)
);
CREATE INDEX leases_holder ON leases (holder);
CREATE TABLE runs (
    id VARCHAR(40) NOT NULL,
    environment VARCHAR NOT NULL,
    command VARCHAR NOT NULL,
    selection JSON NOT NULL,
    status VARCHAR(12) NOT NULL,
    started_at VARCHAR(32) NOT NULL,
    heartbeat_at VARCHAR(32) NOT NULL,
    finished_at VARCHAR(32),
    host VARCHAR NOT NULL,
    pid INTEGER NOT NULL,
    process VARCHAR NOT NULL,
    git_commit VARCHAR(64),
    git_dirty BOOLEAN,
    author VARCHAR,
    principal VARCHAR(128),
    snapshot_id BIGINT,
    PRIMARY KEY (id)
);
CREATE INDEX runs_started ON runs (environment, started_at);
CREATE INDEX runs_status ON runs (status);
CREATE TABLE tasks (
    run_id VARCHAR(40) NOT NULL,
    ordinal INTEGER NOT NULL,
    table_name VARCHAR NOT NULL,
    status VARCHAR(12) NOT NULL,
    operation VARCHAR(12) NOT NULL,
    rows_written BIGINT NOT NULL,
    rows_deleted BIGINT NOT NULL,
    rows_rejected BIGINT NOT NULL,
    size_bytes BIGINT NOT NULL,
    seconds FLOAT NOT NULL,
    attempts INTEGER NOT NULL,
    reason VARCHAR NOT NULL,
    error_code VARCHAR(10),
    error_text VARCHAR,
    verdicts JSON NOT NULL,
    load_id VARCHAR(64),
    snapshot_id BIGINT,
    PRIMARY KEY (run_id, ordinal)
);
CREATE TABLE tokens (
    id VARCHAR(16) NOT NULL,
    user_name VARCHAR(128) NOT NULL,
    hash VARCHAR(64) NOT NULL,
    scram VARCHAR NOT NULL,
    scope JSON,
    created_at VARCHAR(32) NOT NULL,
    expires_at VARCHAR(32),
    last_used_at VARCHAR(32),
    revoked_at VARCHAR(32),
    PRIMARY KEY (id)
);
CREATE INDEX tokens_user ON tokens (user_name);
CREATE TABLE users (
    name VARCHAR(128) NOT NULL,
    name_key VARCHAR(128) NOT NULL,
    kind VARCHAR(8) NOT NULL,
    is_admin BOOLEAN NOT NULL,
    groups JSON NOT NULL,
    password_hash VARCHAR,
    password_is_generated BOOLEAN NOT NULL,
    scram VARCHAR,
    password_changed_at VARCHAR(32),
    must_rotate BOOLEAN NOT NULL,
    oidc_subject VARCHAR,
    claimed_groups JSON,
    claimed_at VARCHAR(32),
    is_disabled BOOLEAN NOT NULL,
    failed_attempts INTEGER NOT NULL,
    locked_until VARCHAR(32),
    created_at VARCHAR(32) NOT NULL,
    last_login_at VARCHAR(32),
    PRIMARY KEY (name),
    UNIQUE (name_key)
);
CREATE TABLE alembic_version (
    version_num VARCHAR(32) NOT NULL,
    PRIMARY KEY (version_num)
);
