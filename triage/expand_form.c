/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "triage/expand.h"
#include "triage/textscan.h"

/* A form upload inside a dump's field, as old Electron clients send it: multipart/form-data
 * whose boundary is its own first line. */

#define BOUNDARY_MAX 200
#define PARTS_MAX    256
#define HEAD_MAX     16384 /* bytes of a part's headers */

struct form {
	struct text rest;     /* not read yet */
	struct text boundary; /* with its two dashes */
};

static bool
form_begin(struct text t, struct form *out)
{
	const char *eol;

	if (!text_starts(t, "--"))
		return false;
	eol = memchr(t.at, '\n', t.len < BOUNDARY_MAX + 2 ? t.len : BOUNDARY_MAX + 2);
	if (eol == NULL || eol - t.at < 5)
		return false;
	out->boundary = text_trim((struct text){ t.at, (size_t)(eol - t.at) });
	out->rest = text_from(t, (size_t)(eol - t.at) + 1);
	return true;
}

bool
expand_is_form(const void *image, size_t size)
{
	struct text t = { image, size < 1024 ? size : 1024 };
	struct form f;

	return form_begin(t, &f) && memmem(f.rest.at, f.rest.len < 512 ? f.rest.len : 512, "form-data", 9) != NULL &&
	       (strncasecmp(f.rest.at, "Content-", f.rest.len < 8 ? f.rest.len : 8) == 0);
}

/* The next part; cut: its end is missing.  false: there is none. */
static bool
form_next(struct form *f, struct text *head, struct text *body, bool *cut)
{
	struct text t = f->rest, top = text_upto(t, HEAD_MAX);
	const char *blank = text_find(top, "\r\n\r\n"), *p;
	size_t skip = 4;

	p = text_find(text_upto(top, blank != NULL ? (size_t)(blank - t.at) : top.len), "\n\n");
	if (p != NULL) {
		blank = p;
		skip = 2;
	}
	if (blank == NULL)
		return false;
	*head = text_upto(t, (size_t)(blank - t.at));
	t = text_from(t, head->len + skip);
	*cut = true;
	*body = t;
	f->rest = (struct text){ t.at, 0 };
	for (struct text s = t; (p = memmem(s.at, s.len, f->boundary.at, f->boundary.len)) != NULL;
	     s = text_from(s, (size_t)(p - s.at) + 1)) {
		size_t len = (size_t)(p - t.at);

		if (len > 0 && t.at[len - 1] != '\n')
			continue;
		if (len > 0)
			len--;
		if (len > 0 && t.at[len - 1] == '\r')
			len--;
		*body = text_upto(t, len);
		*cut = false;
		f->rest = text_from(t, (size_t)(p - t.at) + f->boundary.len);
		break;
	}
	return true;
}

enum err
expand_form(const void *image, size_t size, struct sink *s, struct diag *diag)
{
	struct text head, body, best = { NULL, 0 };
	struct form f;
	bool cut, best_cut = false, sure = false;

	if (!form_begin((struct text){ image, size }, &f))
		return ERR_MALFORMED;
	for (int i = 0; i < PARTS_MAX && !sure && form_next(&f, &head, &body, &cut); i++) {
		sure = expand_is_dump(body.at, body.len) || text_find(head, "upload_file_minidump") != NULL;
		if (sure || (text_find(head, "filename=") != NULL && body.len > best.len)) {
			best = body;
			best_cut = cut;
		}
	}
	if (best.len == 0) {
		diag->what = "a form without a dump";
		return ERR_UNSUPPORTED;
	}
	if (best.len > s->limit)
		return ERR_LIMIT;
	s->buf = malloc(best.len);
	if (s->buf == NULL)
		return ERR_NOMEM;
	memcpy(s->buf, best.at, best.len);
	s->len = s->cap = best.len;
	return best_cut ? ERR_TRUNCATED : ERR_OK;
}
