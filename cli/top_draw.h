/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_TOP_DRAW_H
#define CLI_TOP_DRAW_H

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

#include "cli/screen.h"

/* What `faultline top` shows.  Every number is a member of GET /v1/now or of GET /v1/signatures; a member that
 * the server does not have leaves its place out. */
struct picture {
	const char *server;  /* address */
	const json_t *now;   /* the last answer; NULL: none yet */
	const json_t *found; /* answer of the search; NULL: none asked for */
	const char *filter;  /* "": none */
	const char *sort;    /* of the signatures: new, hosts, newest or trend */
	const char *list;    /* its member of /v1/now */
	const char *edit;    /* the filter being typed, else NULL */
	const char *error;   /* why there is no contact, or NULL */
	const char *mistake; /* what is wrong with the filter, or NULL */
	int mistake_at;      /* which character of it; -1: none in particular */
	bool lost;           /* no contact for so long that nothing is known */
	bool help;           /* instead: keys and signs */
	int64_t silent_us;   /* since the last contact */
	int64_t now_us;      /* on the server's clock */
	int skip;            /* signatures scrolled past */
};

void top_draw(struct screen *s, const struct picture *p);

/* How a status is shown everywhere: a shape, a word, a style. */
struct top_chip {
	const char *status, *word, *shape;
	enum screen_style style;
};
const struct top_chip *top_chip(const char *status);

#endif
