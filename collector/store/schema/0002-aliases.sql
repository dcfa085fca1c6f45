-- SPDX-License-Identifier: Apache-2.0
-- What was claimed, and what a dump showed it to be.
CREATE TABLE aliases (
	tenant    smallint NOT NULL,
	claimed   bigint NOT NULL,
	signature bigint NOT NULL,
	reports   bigint NOT NULL,
	PRIMARY KEY (tenant, claimed, signature)
);
