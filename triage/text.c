/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <string.h>

#include "triage/textscan.h"
#include "triage/utf.h"

/* Which of the texts is it?  Told by its content, never by a name. */

#define HEAD_MAX       ((size_t)1 << 20) /* a report by itself says here what it is; in a log it may come late */
#define EVENTS_MAX     ((size_t)4 << 20)
#define EVENT_TEXT_MAX 65536
#define LOOK           65536 /* what is looked at to tell a text from other bytes */

/* UTF-16 as Windows saves it: by its mark, or by every second byte being zero. */
static bool
is_utf16(const uint8_t *p, size_t size, bool *big)
{
	size_t n = size < 256 ? size & ~(size_t)1 : 256, zeros[2] = { 0, 0 };

	if (n < 8)
		return false;
	*big = p[0] == 0xfe && p[1] == 0xff;
	if (*big || (p[0] == 0xff && p[1] == 0xfe))
		return true;
	for (size_t i = 0; i < n; i++)
		zeros[i & 1] += p[i] == 0;
	*big = zeros[0] > zeros[1];
	return zeros[*big ? 0 : 1] > n / 2 - n / 8 && zeros[*big ? 1 : 0] == 0;
}

static bool
is_text(const uint8_t *p, size_t size)
{
	size_t n = size < LOOK ? size : LOOK, odd = 0;

	for (size_t i = 0; i < n; i++)
		odd += (p[i] < ' ' && p[i] != '\n' && p[i] != '\r' && p[i] != '\t' && p[i] != 0x1b && p[i] != '\f') ||
		       p[i] == 0x7f;
	return n > 0 && odd <= n / 16;
}

/* An .ips report: JSON whose first object says of what kind it is, or its body alone. */
static bool
looks_json(struct text t)
{
	struct text s = text_trim(text_upto(t, 256));

	return s.len > 1 && s.at[0] == '{' &&
	       (text_find(text_upto(t, 4096), "\"bug_type\"") != NULL ||
		text_find(text_upto(t, HEAD_MAX), "\"usedImages\"") != NULL ||
		text_find(text_upto(t, HEAD_MAX), "\"panicString\"") != NULL);
}

static enum err
read_kind(struct arena *a, struct text t, struct dump *out, struct diag *diag)
{
	struct text head = text_upto(t, HEAD_MAX);
	enum err e;

	if (text_find(t, "-----BEGIN BREAKPAD MICRODUMP-----") != NULL)
		return microdump_read(a, t, out, diag);
	if (looks_json(t))
		return applejson_read(a, t, out, diag);
	if (text_find(head, "panic(cpu ") != NULL)
		return applepanic_read(a, t, out, diag);
	if (text_find(head, "\nException Type:") != NULL || text_find(head, "\nBinary Images:") != NULL ||
	    (text_find(head, "\nOS Version:") != NULL && text_find(head, "\nReport Version:") != NULL) ||
	    text_starts(t, "Incident Identifier:"))
		return apple_read(a, t, out, diag);
	if (text_find(t, "*** *** *** *** ***") != NULL && text_find(t, "pid: ") != NULL &&
	    text_find(t, "signal ") != NULL)
		return tombstone_read(a, t, out, diag);
	e = winevent_is(text_upto(t, EVENTS_MAX)) ? winevent_read(a, t, out, diag) : ERR_UNSUPPORTED;
	if (e == ERR_UNSUPPORTED)
		e = oops_read(a, t, out, diag);
	/* events in other languages have no word to know them by, only their form */
	if (e == ERR_UNSUPPORTED && t.len <= EVENT_TEXT_MAX)
		e = winevent_read(a, t, out, diag);
	return e;
}

bool
text_begins(const void *head, size_t size)
{
	const uint8_t *p = head;
	bool big;

	return size > 0 &&
	       ((p[0] < ' ' && tombstonepb_begins(head, size)) || is_utf16(p, size, &big) || is_text(p, size));
}

enum err
text_read(struct arena *a, const void *image, size_t size, struct dump *out, struct diag *diag)
{
	const uint8_t *p = image;
	struct text t = { image, size < TEXT_SIZE_MAX ? size : TEXT_SIZE_MAX };
	bool big = false;
	enum err e;

	if (p[0] < ' ' && tombstonepb_is(image, size))
		return tombstonepb_read(a, image, size, out, diag);
	if (is_utf16(p, size, &big)) {
		size_t skip = p[0] >= 0xfe ? 2 : 0;

		if (t.len > TEXT_SIZE_MAX / 8)
			t.len = TEXT_SIZE_MAX / 8;
		t.at = utf_from_utf16(a, p + skip, (t.len - skip) / 2, big, t.len * 2);
		if (t.at == NULL) {
			*diag = (struct diag){ ERR_LIMIT, "the text needs more memory than it is given", 0 };
			return ERR_LIMIT;
		}
		t.len = strlen(t.at);
	} else if (!is_text(p, size)) {
		*diag = (struct diag){ ERR_UNSUPPORTED, "not a dump format we know", 0 };
		return ERR_UNSUPPORTED;
	}
	if (text_starts(t, "\xef\xbb\xbf"))
		t = text_from(t, 3);
	e = read_kind(a, t, out, diag);
	if (e == ERR_OK && size > TEXT_SIZE_MAX)
		dump_partial(out, "only the first 32 MiB of the text were read");
	return e;
}
