/* SPDX-License-Identifier: Apache-2.0 */
/* See llhttp_parser.c; two units because the halves declare the same functions differently. */
#include <llhttp/api.c>
#include <llhttp/http.c>
