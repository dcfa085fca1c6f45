-- SPDX-License-Identifier: Apache-2.0
-- History of the fleet.  docs/DATABASE.md explains; times are UTC.

-- One row for each log that was ever projected here.  position: every record below it is in
-- the database; epoch fences off an older projector of the same log.
CREATE TABLE logs (
	no       smallint PRIMARY KEY,
	uuid     bytea NOT NULL UNIQUE CHECK (length(uuid) = 16),
	position bigint NOT NULL DEFAULT 0,
	epoch    integer NOT NULL DEFAULT 0,
	seed     bigint NOT NULL,
	records  bigint NOT NULL DEFAULT 0,
	updated  timestamptz NOT NULL DEFAULT now()
);

-- (tenant, log, position) is unique because position advances in the same transaction;
-- an index that said so would halve the rate of COPY.
CREATE TABLE reports (
	position  bigint NOT NULL,
	host      bigint NOT NULL,
	signature bigint NOT NULL,
	origin    bigint NOT NULL,
	site      bigint NOT NULL,
	received  timestamptz NOT NULL,
	occurred  timestamptz,
	uptime_s  bigint,
	crashes   bigint NOT NULL,
	flags     integer NOT NULL,
	log       smallint NOT NULL,
	tenant    smallint NOT NULL,
	kind      smallint NOT NULL,
	outcome   smallint NOT NULL,
	dump      bytea,
	details   json
) PARTITION BY RANGE (received);
CREATE INDEX reports_position ON reports USING brin (position) WITH (autosummarize = on);

-- Which positions a day holds: positions rise, but receive times of several gates do not.
CREATE TABLE report_days (
	log            smallint NOT NULL,
	day            date NOT NULL,
	first_position bigint NOT NULL,
	last_position  bigint NOT NULL,
	reports        bigint NOT NULL,
	PRIMARY KEY (log, day)
) WITH (fillfactor = 50);

CREATE TABLE days (
	day    date PRIMARY KEY,
	closed boolean NOT NULL DEFAULT false
);

CREATE TABLE origins (
	tenant         smallint NOT NULL,
	id             bigint NOT NULL,
	module         text NOT NULL,
	module_version text NOT NULL,
	reason         text NOT NULL,
	reason_code    bigint NOT NULL,
	product        text NOT NULL,
	version        text NOT NULL,
	os             text NOT NULL,
	os_build       text NOT NULL,
	arch           text NOT NULL,
	hw_class       text NOT NULL,
	PRIMARY KEY (tenant, id)
);

CREATE TABLE sites (
	tenant smallint NOT NULL,
	id     bigint NOT NULL,
	name   text NOT NULL,
	PRIMARY KEY (tenant, id)
);

CREATE TABLE signatures (
	tenant         smallint NOT NULL,
	id             bigint NOT NULL,
	rung           smallint NOT NULL,
	reason_class   smallint NOT NULL,
	kinds          integer NOT NULL,
	"offset"       bigint NOT NULL,
	first_seen     timestamptz NOT NULL,
	last_seen      timestamptz NOT NULL,
	first_log      smallint NOT NULL,
	first_position bigint NOT NULL,
	reports        bigint NOT NULL,
	crashes        bigint NOT NULL,
	triaged        bigint NOT NULL,
	title          text NOT NULL,
	module         text NOT NULL,
	module_id      text NOT NULL,
	PRIMARY KEY (tenant, id)
) WITH (fillfactor = 50);

-- hosts: distinct hosts of the day, known when the day is closed.
CREATE TABLE signature_days (
	tenant    smallint NOT NULL,
	signature bigint NOT NULL,
	day       date NOT NULL,
	reports   bigint NOT NULL,
	crashes   bigint NOT NULL,
	hosts     bigint,
	PRIMARY KEY (tenant, signature, day)
) WITH (fillfactor = 50);

CREATE TABLE dumps (
	tenant   smallint NOT NULL,
	log      smallint NOT NULL,
	position bigint NOT NULL,
	sha256   bytea NOT NULL,
	size     bigint NOT NULL,
	received timestamptz NOT NULL,
	PRIMARY KEY (tenant, log, position, sha256)
);

CREATE TABLE triage_results (
	tenant          smallint NOT NULL,
	log             smallint NOT NULL,
	position        bigint NOT NULL,
	received        timestamptz NOT NULL,
	sha256          bytea NOT NULL,
	outcome         smallint NOT NULL,
	signature       bigint NOT NULL,
	address         bigint NOT NULL,
	"offset"        bigint NOT NULL,
	crashing_thread bigint NOT NULL,
	thread_count    bigint NOT NULL,
	module_count    bigint NOT NULL,
	reason_class    smallint NOT NULL,
	partial         boolean NOT NULL,
	error           text NOT NULL,
	format          text NOT NULL,
	os              text NOT NULL,
	arch            text NOT NULL,
	reason          text NOT NULL,
	module          text NOT NULL,
	module_id       text NOT NULL,
	module_version  text NOT NULL,
	rule            text NOT NULL,
	frames          jsonb NOT NULL,
	PRIMARY KEY (tenant, log, position)
);
CREATE INDEX triage_results_signature ON triage_results (tenant, signature, position);

CREATE TABLE deployments (
	tenant     smallint NOT NULL,
	id         text NOT NULL,
	log        smallint NOT NULL,
	position   bigint NOT NULL,
	received   timestamptz NOT NULL,
	artefact   text NOT NULL,
	version    text NOT NULL,
	mode       text NOT NULL,
	actor      text NOT NULL,
	definition jsonb NOT NULL,
	PRIMARY KEY (tenant, id, log, position)
);

CREATE TABLE receipts (
	tenant     smallint NOT NULL,
	deployment text NOT NULL,
	ring       text NOT NULL,
	withdrawn  boolean NOT NULL,
	receipts   bigint NOT NULL,
	hosts      bigint NOT NULL,
	first_at   timestamptz NOT NULL,
	last_at    timestamptz NOT NULL,
	PRIMARY KEY (tenant, deployment, ring, withdrawn)
) WITH (fillfactor = 50);

CREATE TABLE decisions (
	tenant     smallint NOT NULL,
	log        smallint NOT NULL,
	position   bigint NOT NULL,
	received   timestamptz NOT NULL,
	deployment text NOT NULL,
	action     smallint NOT NULL,
	automatic  boolean NOT NULL,
	actor      text NOT NULL,
	reason     text NOT NULL,
	basis      bigint NOT NULL,
	PRIMARY KEY (tenant, log, position)
);

CREATE TABLE gaps (
	log         smallint NOT NULL,
	position    bigint NOT NULL,
	to_position bigint,
	from_at     timestamptz,
	to_at       timestamptz,
	why         text NOT NULL,
	PRIMARY KEY (log, position)
);

-- Records the database would not take, as they were; empty unless there is a bug.
CREATE TABLE rejected (
	log      smallint NOT NULL,
	position bigint NOT NULL,
	tenant   smallint NOT NULL,
	type     integer NOT NULL,
	received timestamptz NOT NULL,
	error    text NOT NULL,
	payload  bytea NOT NULL,
	PRIMARY KEY (log, position)
);
