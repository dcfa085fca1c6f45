/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <string.h>
#include <strings.h>

#include "collector/gate/multipart.h"

#define PREAMBLE_MAX 4096

void
multipart_init(struct multipart *m, struct text boundary, const struct multipart_ops *ops, void *arg)
{
	*m = (struct multipart){ .ops = ops, .arg = arg, .why = DISCARD_none };
	memcpy(m->delimiter, "\r\n--", 4);
	memcpy(m->delimiter + 4, boundary.at, boundary.len);
	m->delimiter_len = 4 + boundary.len;
	m->matched = 2; /* the first delimiter may stand at the very start, without its line end */
}

bool
multipart_finished(const struct multipart *m)
{
	return m->state == MULTIPART_EPILOGUE && m->why == DISCARD_none;
}

/* ---- header fields ---- */

static struct text
trim(struct text t)
{
	while (t.len > 0 && (t.at[0] == ' ' || t.at[0] == '\t'))
		t = (struct text){ t.at + 1, t.len - 1 };
	while (t.len > 0 && (t.at[t.len - 1] == ' ' || t.at[t.len - 1] == '\t'))
		t.len--;
	return t;
}

/* Up to the first c: that is cut off *rest and returned. */
static struct text
cut(struct text *rest, char c)
{
	const char *at = rest->len > 0 ? memchr(rest->at, c, rest->len) : NULL;
	struct text head = *rest;

	if (at == NULL) {
		*rest = (struct text){ NULL, 0 };
		return head;
	}
	head.len = (size_t)(at - rest->at);
	*rest = (struct text){ at + 1, rest->len - head.len - 1 };
	return head;
}

static bool
text_is(struct text t, const char *word)
{
	return t.len == strlen(word) && strncasecmp(t.at, word, t.len) == 0;
}

/* Value of parameter `name` in "value; a=b; c=\"d\"", quotes taken off; at NULL if absent. */
static struct text
parameter(struct text field, const char *name)
{
	cut(&field, ';');
	while (field.len > 0) {
		struct text key = trim(cut(&field, '=')), value;

		field = trim(field);
		if (field.len > 0 && field.at[0] == '"') {
			field = (struct text){ field.at + 1, field.len - 1 };
			value = cut(&field, '"');
			cut(&field, ';');
		} else {
			value = trim(cut(&field, ';'));
		}
		if (text_is(key, name))
			return value;
	}
	return (struct text){ NULL, 0 };
}

enum discard
multipart_boundary(const char *content_type, struct text *boundary_out)
{
	if (*content_type == '\0')
		return DISCARD_no_content_type;
	if (strncasecmp(content_type, "multipart/", 10) != 0)
		return DISCARD_wrong_content_type;
	*boundary_out = parameter(text_of(content_type), "boundary");
	if (boundary_out->len == 0 || boundary_out->len > MULTIPART_BOUNDARY_MAX ||
	    memchr(boundary_out->at, '\r', boundary_out->len) != NULL)
		return DISCARD_no_boundary;
	return DISCARD_none;
}

static void
start_part(struct multipart *m)
{
	struct text rest = { m->headers, m->n_headers };
	struct multipart_part part = { .name = { "", 0 } };

	while (rest.len > 0) {
		struct text line = cut(&rest, '\n'), name;

		if (line.len > 0 && line.at[line.len - 1] == '\r')
			line.len--;
		name = trim(cut(&line, ':'));
		if (text_is(name, "content-disposition")) {
			part.name = parameter(line, "name");
			part.filename = parameter(line, "filename");
		} else if (text_is(name, "content-type")) {
			part.content_type = trim(line);
		}
	}
	m->state = MULTIPART_DATA;
	m->matched = 0;
	if (++m->n_parts > MULTIPART_PARTS_MAX)
		m->why = DISCARD_too_many_parts;
	else
		m->why = m->ops->part_begin(m->arg, &part);
}

/* ---- states: each takes some bytes and returns how many ---- */

static size_t
take_headers(struct multipart *m, const char *data, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (m->n_headers == sizeof(m->headers)) {
			m->why = DISCARD_bad_multipart;
			return i;
		}
		m->headers[m->n_headers++] = data[i];
		if (data[i] != '\n')
			continue;
		if ((m->n_headers == 2 && m->headers[0] == '\r') ||
		    (m->n_headers >= 4 && memcmp(m->headers + m->n_headers - 4, "\r\n\r\n", 4) == 0)) {
			start_part(m);
			return i + 1;
		}
	}
	return len;
}

/* After a delimiter: "--" ends the body, a line end starts a part; padding is allowed. */
static size_t
take_tail(struct multipart *m, char c)
{
	if (m->n_tail == 0 && (c == ' ' || c == '\t'))
		return 1;
	m->tail[m->n_tail++] = c;
	if (m->n_tail < 2)
		return 1;
	if (memcmp(m->tail, "--", 2) == 0) {
		m->state = MULTIPART_EPILOGUE;
	} else if (memcmp(m->tail, "\r\n", 2) == 0) {
		m->state = MULTIPART_HEADERS;
		m->n_headers = 0;
	} else {
		m->why = DISCARD_bad_multipart;
	}
	return 1;
}

static void
emit(struct multipart *m, const char *data, size_t len)
{
	if (len == 0 || m->why != DISCARD_none)
		return;
	if (m->state == MULTIPART_DATA)
		m->why = m->ops->part_data(m->arg, data, len);
	else if ((m->preamble += len) > PREAMBLE_MAX)
		m->why = DISCARD_bad_multipart;
}

static void
end_data(struct multipart *m)
{
	if (m->state == MULTIPART_DATA)
		m->why = m->ops->part_end(m->arg);
	m->state = MULTIPART_DELIMITED;
	m->n_tail = 0;
	m->matched = 0;
}

/* Go on comparing with the delimiter.  A carriage return stands only at its front, so after
 * a mismatch nothing of what was held back can begin a new one. */
static size_t
take_match(struct multipart *m, const char *data, size_t len)
{
	size_t i = 0;

	while (i < len && m->matched < m->delimiter_len && data[i] == m->delimiter[m->matched]) {
		m->matched++;
		i++;
	}
	if (m->matched == m->delimiter_len) {
		end_data(m);
	} else if (i < len) {
		const size_t held = m->matched;

		m->matched = 0;
		if (m->state == MULTIPART_DATA || m->preamble > 0 || held != 2)
			emit(m, m->delimiter, held);
	}
	return i;
}

/* Data up to the next byte that may begin a delimiter. */
static size_t
take_data(struct multipart *m, const char *data, size_t len)
{
	const char *cr = data, *const end = data + len;

	for (;; cr++) {
		cr = memchr(cr, '\r', (size_t)(end - cr));
		if (cr == NULL || cr + 1 == end || cr[1] == '\n')
			break;
	}
	if (cr == NULL) {
		emit(m, data, len);
		return len;
	}
	emit(m, data, (size_t)(cr - data));
	m->matched = 1;
	return (size_t)(cr - data) + 1;
}

enum discard
multipart_feed(struct multipart *m, const char *data, size_t len)
{
	while (len > 0 && m->why == DISCARD_none) {
		size_t n = len;

		switch (m->state) {
		case MULTIPART_PREAMBLE:
		case MULTIPART_DATA:
			n = m->matched > 0 ? take_match(m, data, len) : take_data(m, data, len);
			break;
		case MULTIPART_DELIMITED:
			n = take_tail(m, *data);
			break;
		case MULTIPART_HEADERS:
			n = take_headers(m, data, len);
			break;
		case MULTIPART_EPILOGUE:
			break;
		}
		data += n;
		len -= n;
	}
	return m->why;
}
