-- Figures of pools, counted now and then: by tenant (0: codes of nobody), province ('': all) and scene ('': all).
DROP TABLE pool_figure;
CREATE TABLE pool_figure (
    tenant_id    integer NOT NULL,
    province     text NOT NULL,
    scene        text NOT NULL,
    at           timestamptz NOT NULL,
    total        bigint NOT NULL,
    free         bigint NOT NULL,
    bound        bigint NOT NULL,
    quarantined  bigint NOT NULL,
    locked       bigint NOT NULL,
    PRIMARY KEY (tenant_id, province, scene, at)
);
CREATE INDEX pool_figure_at_idx ON pool_figure (at);

CREATE TABLE pool_sample (                      -- one for each time that they were counted
    at           timestamptz PRIMARY KEY,
    codes        bigint NOT NULL,               -- that there were
    counted      bigint NOT NULL                -- that were looked into
);
