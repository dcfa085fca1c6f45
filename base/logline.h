/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_LOGLINE_H
#define BASE_LOGLINE_H

/* One line per event on standard error: time, level, area, text.  Programs log,
 * libraries return.  Any thread; a line is one write. */
enum log_level { LOGLINE_ERROR, LOGLINE_WARN, LOGLINE_INFO, LOGLINE_DEBUG };

void logline_set_level(enum log_level level);
int logline_level_by_name(const char *name); /* -1 if unknown */

void logline(enum log_level level, const char *area, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

#define log_error(area, ...) logline(LOGLINE_ERROR, area, __VA_ARGS__)
#define log_warn(area, ...)  logline(LOGLINE_WARN, area, __VA_ARGS__)
#define log_info(area, ...)  logline(LOGLINE_INFO, area, __VA_ARGS__)
#define log_debug(area, ...) logline(LOGLINE_DEBUG, area, __VA_ARGS__)

#endif
