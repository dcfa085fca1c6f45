-- SPDX-License-Identifier: Apache-2.0
-- What an automatic halt rests on: key, grid, weight and the votes in order, enough to compute its odds by hand.
ALTER TABLE decisions ADD COLUMN IF NOT EXISTS proof jsonb;
