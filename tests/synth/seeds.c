/* SPDX-License-Identifier: Apache-2.0 */
/* Writes the fuzzers' seeds: seeds DIR puts every example below DIR/minidump,
 * DIR/elfcore and DIR/kdump.  Run by hand when a format is added. */
#include "config.h"

#include <stdio.h>
#include <sys/stat.h>

#include "tests/synth/synth.h"

static int
save(const char *dir, const char *kind, const char *name, const struct synth *s)
{
	char path[4096];
	FILE *f;
	int bad;

	snprintf(path, sizeof(path), "%s/%s", dir, kind);
	mkdir(path, 0777);
	snprintf(path, sizeof(path), "%s/%s/%s", dir, kind, name);
	if ((f = fopen(path, "wb")) == NULL) {
		perror(path);
		return 1;
	}
	bad = fwrite(s->p, 1, s->len, f) != s->len;
	return fclose(f) != 0 || bad;
}

int
main(int argc, char **argv)
{
	const struct synth_crash *c;
	const struct synth_kdump *k;
	const char *name;
	int bad = 0;

	if (argc != 2)
		return 2;
	for (size_t i = 0; (c = synth_example(i, &name)) != NULL; i++) {
		struct synth md = { 0 }, core = { 0 };

		if (!c->netbsd) {
			synth_minidump(&md, c, NULL);
			bad |= save(argv[1], "minidump", name, &md);
			synth_free(&md);
		}
		if (c->platform != 0x8201 && !c->netbsd)
			continue;
		synth_core(&core, c, NULL);
		bad |= save(argv[1], "elfcore", name, &core);
		synth_free(&core);
	}
	for (size_t i = 0; (k = synth_kdump_example(i, &name)) != NULL; i++) {
		struct synth dump = { 0 };

		synth_kdump(&dump, k, NULL);
		bad |= save(argv[1], "kdump", name, &dump);
		synth_free(&dump);
	}
	return bad;
}
