/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>

#include "collector/store/days.h"
#include "collector/store/pg.h"
#include "collector/store/rows.h"

#define SEND_AT       131072u
#define PG_EPOCH_US   (946684800ll * 1000000) /* PostgreSQL counts from 2000 */
#define COLUMNS       16
#define ROW_FIXED_MAX (2 + COLUMNS * 4 + 8 * 9 + 4 + 4 * 2)

static const char copy_header[19] = "PGCOPY\n\377\r\n"; /* then zeroes: the signature's end, flags, extension */
static const char column_names[] = "position, host, signature, origin, site, received, occurred, uptime_s, crashes,"
				   " flags, log, tenant, kind, outcome, dump, details";

void
rows_free(struct rows *r)
{
	for (int i = 0; i < ROWS_MAX_DAYS; i++)
		textbuf_free(&r->days[i].out);
	textbuf_free(&r->details);
	*r = (struct rows){ 0 };
}

void
rows_reset(struct rows *r)
{
	for (int i = 0; i < ROWS_MAX_DAYS; i++) {
		textbuf_reset(&r->days[i].out);
		r->days[i].copying = false;
	}
	r->n_days = 0;
	r->n = 0;
}

static int32_t
day_of(const struct record_view *rec)
{
	return (int32_t)(store_time(rec->received_us) / STORE_DAY_US);
}

static struct rows_day *
find_day(struct rows *r, int32_t day)
{
	for (uint32_t i = 0; i < r->n_days; i++)
		if (r->days[i].day == day)
			return &r->days[i];
	return NULL;
}

bool
rows_fits(const struct rows *r, const struct record_view *rec)
{
	for (uint32_t i = 0; i < r->n_days; i++)
		if (r->days[i].day == day_of(rec))
			return true;
	return r->n_days < ROWS_MAX_DAYS;
}

/* ---- one row ---- */

static char *
put_be(char *p, uint64_t v, int width)
{
	for (int i = width - 1; i >= 0; i--)
		*p++ = (char)(v >> 8 * i);
	return p;
}

static char *
put_int(char *p, int64_t v, int width)
{
	return put_be(put_be(p, (uint64_t)width, 4), (uint64_t)v, width);
}

static char *
put_null(char *p)
{
	return put_be(p, UINT32_MAX, 4);
}

static void
json_pairs(struct textbuf *b, const char *name, const struct report_pair *pairs, uint32_t n)
{
	if (n == 0)
		return;
	textbuf_printf(b, "%s\"%s\":{", b->len > 1 ? "," : "", name);
	for (uint32_t i = 0; i < n; i++) {
		if (i > 0)
			textbuf_put(b, ",", 1);
		textbuf_json(b, pairs[i].name);
		textbuf_put(b, ":", 1);
		textbuf_json(b, pairs[i].value);
	}
	textbuf_put(b, "}", 1);
}

static void
json_frames(struct textbuf *b, const struct report *rep)
{
	struct report_frame frames[REPORT_MAX_FRAMES];
	uint32_t n = rep->n_frames > 0 ? report_frames(rep, frames) : 0;

	if (n == 0)
		return;
	textbuf_printf(b, "%s\"frames\":[", b->len > 1 ? "," : "");
	for (uint32_t i = 0; i < n; i++) {
		textbuf_printf(b, "%s{\"module\":", i > 0 ? "," : "");
		textbuf_json(b, frames[i].module);
		textbuf_printf(b, ",\"module_offset\":\"0x%" PRIx64 "\",\"trust\":%" PRIu32, frames[i].offset,
			       frames[i].trust);
		if (frames[i].module_id.len > 0) {
			textbuf_printf(b, ",\"module_id\":");
			textbuf_json(b, frames[i].module_id);
		}
		if (frames[i].function.len > 0) {
			textbuf_printf(b, ",\"function\":");
			textbuf_json(b, frames[i].function);
		}
		textbuf_put(b, "}", 1);
	}
	textbuf_put(b, "]", 1);
}

/* What has no column; empty if the report has none of it. */
static void
make_details(struct textbuf *b, const struct report *rep)
{
	textbuf_reset(b);
	if (rep->n_labels + rep->n_content + rep->n_frames + rep->n_params == 0)
		return;
	textbuf_put(b, "{", 1);
	json_pairs(b, "labels", rep->labels, rep->n_labels);
	json_pairs(b, "content", rep->content, rep->n_content);
	json_frames(b, rep);
	if (rep->n_params > 0) {
		textbuf_printf(b, "%s\"params\":[", b->len > 1 ? "," : "");
		for (uint32_t i = 0; i < rep->n_params; i++)
			textbuf_printf(b, "%s\"0x%" PRIx64 "\"", i > 0 ? "," : "", rep->params[i]);
		textbuf_put(b, "]", 1);
	}
	textbuf_put(b, "}", 1);
}

static bool
put_row(struct textbuf *out, struct textbuf *details, int log_no, const struct record_view *rec,
	const struct report *rep, const struct tally_refs *refs, uint32_t outcome)
{
	size_t room, extra;
	char *p, *start;

	make_details(details, rep);
	extra = rep->dump_sha256.len + details->len;
	room = ROW_FIXED_MAX + extra;
	start = p = textbuf_grow(out, room);
	if (p == NULL || details->failed)
		return false;
	p = put_be(p, COLUMNS, 2);
	p = put_int(p, (int64_t)rec->pos, 8);
	p = put_int(p, (int64_t)rep->host_hash, 8);
	p = put_int(p, (int64_t)refs->signature, 8);
	p = put_int(p, (int64_t)refs->origin, 8);
	p = put_int(p, (int64_t)refs->site, 8);
	p = put_int(p, store_time(rec->received_us) - PG_EPOCH_US, 8);
	p = rep->occurred_us != 0 ? put_int(p, store_time(rep->occurred_us) - PG_EPOCH_US, 8) : put_null(p);
	p = rep->uptime_s != 0 ? put_int(p, (int64_t)(rep->uptime_s & INT64_MAX), 8) : put_null(p);
	p = put_int(p, rep->count, 8);
	p = put_int(p, (int32_t)rep->flags, 4);
	p = put_int(p, log_no, 2);
	p = put_int(p, (int16_t)rec->tenant, 2);
	p = put_int(p, (int)rep->kind, 2);
	p = put_int(p, (int)outcome, 2);
	if (rep->dump_sha256.len > 0) {
		p = put_be(p, rep->dump_sha256.len, 4);
		memcpy(p, rep->dump_sha256.at, rep->dump_sha256.len);
		p += rep->dump_sha256.len;
	} else
		p = put_null(p);
	if (details->len > 0) {
		p = put_be(p, details->len, 4);
		memcpy(p, details->at, details->len);
		p += details->len;
	} else
		p = put_null(p);
	out->len -= room - (size_t)(p - start);
	return true;
}

/* ---- sending ---- */

static bool
out_of_memory(struct pg *pg)
{
	pg->failure = PG_LATER;
	pg->state[0] = '\0';
	snprintf(pg->text, sizeof(pg->text), "out of memory");
	return false;
}

static bool
send_day(struct rows_day *d, struct pg *pg)
{
	char sql[256], table[32];

	if (d->out.failed)
		return out_of_memory(pg);
	if (!d->copying) {
		snprintf(sql, sizeof(sql), "COPY %s (%s) FROM STDIN BINARY", days_table(d->day, table), column_names);
		if (!days_ensure(pg, d->day) || !pg_copy_begin(pg, sql) ||
		    !pg_copy_put(pg, copy_header, sizeof(copy_header)))
			return false;
		d->copying = true;
	}
	if (!pg_copy_put(pg, d->out.at, d->out.len))
		return false;
	textbuf_reset(&d->out);
	return true;
}

bool
rows_add(struct rows *r, struct pg *pg, int log_no, const struct record_view *rec, const struct report *rep,
	 const struct tally_refs *refs, uint32_t outcome)
{
	struct rows_day *d = find_day(r, day_of(rec));

	if (d == NULL) {
		d = &r->days[r->n_days++];
		d->day = day_of(rec);
		d->n = 0;
		d->first_pos = rec->pos;
	}
	if (!put_row(&d->out, &r->details, log_no, rec, rep, refs, outcome))
		return out_of_memory(pg);
	d->last_pos = rec->pos;
	d->n++;
	r->n++;
	return d != &r->days[0] || d->out.len < SEND_AT || send_day(d, pg);
}

static bool
note_day(const struct rows_day *d, struct pg *pg, int log_no)
{
	char sql[512], day[16];

	snprintf(sql, sizeof(sql),
		 "INSERT INTO report_days AS t (log, day, first_position, last_position, reports) VALUES"
		 " (%d, '%s', %" PRId64 ", %" PRId64 ", %" PRIu64 ") ON CONFLICT (log, day) DO UPDATE SET"
		 " last_position = excluded.last_position, reports = t.reports + excluded.reports",
		 log_no, day_text(d->day, day), (int64_t)d->first_pos, (int64_t)d->last_pos, d->n);
	return pg_run(pg, sql);
}

bool
rows_store(struct rows *r, struct pg *pg, int log_no)
{
	for (uint32_t i = 0; i < r->n_days; i++) {
		struct rows_day *d = &r->days[i];

		if (!send_day(d, pg) || !pg_copy_put(pg, "\377\377", 2) || !pg_copy_end(pg) || !note_day(d, pg, log_no))
			return false;
	}
	return true;
}
