/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_UNIT_LOG_HELP_H
#define TESTS_UNIT_LOG_HELP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "collector/log/log.h"

/* What tests of a log share.  Failures end the program with a sentence. */

/* A new empty directory below $TMPDIR; removed with its content. */
char *temp_dir_new(void);
void temp_dir_free(char *path);

/* A submission that owns its bytes.  Its records, `records` of payload_len bytes, are filled
 * from (producer, number) so that test_batch_is() can tell whose they are. */
struct test_batch {
	struct log_submission s;
	uint64_t producer, number;
	bool answered;
	struct test_batch *next; /* the test's */
};
struct test_batch *test_batch_new(uint64_t producer, uint64_t number, uint32_t records, size_t payload_len,
				  enum log_class class, struct mailbox *reply);
void test_batch_free(struct test_batch *t);
bool test_batch_is(const struct batch_view *b, uint32_t records, size_t payload_len);

/* Append one small batch and wait for its outcome. */
enum log_append append_one(struct log *l, struct mailbox *reply, uint64_t producer, uint64_t number, size_t payload_len,
			   enum log_class class, enum log_outcome *outcome_out, uint64_t *first_out);

/* The same where only DURABLE will do; returns the position. */
uint64_t must_append(struct log *l, struct mailbox *reply, uint64_t producer, uint64_t number, size_t payload_len);

/* Wait until t is answered. */
void wait_answer(struct mailbox *reply, struct test_batch *t);

#endif
