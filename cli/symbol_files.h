/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_SYMBOL_FILES_H
#define CLI_SYMBOL_FILES_H

struct images;
struct symbol_files;

/* Images and symbols out of directories (collector/symbols/dirs.h), for triage. */

/* dirs: separated by ':'.  NULL with a sentence in *why_out. */
struct symbol_files *symbol_files_open(const char *dirs, const char **why_out);
void symbol_files_close(struct symbol_files *s); /* NULL is fine */

struct images *symbol_files_images(struct symbol_files *s); /* NULL for NULL */

#endif
