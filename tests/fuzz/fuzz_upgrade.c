/*
 * What hawser-node-upgrade and the agent read. The first byte says what the rest is:
 *   q   a question     a   an answer     t   node.release
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "node/upgrade/courier.h"
#include "node/upgrade/terms.h"
#include "proto/base/err.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
read_terms(const uint8_t *p, size_t n)
{
	char *text = malloc(n + 1);
	struct terms t;

	if (text == NULL)
		return;
	memcpy(text, p, n);
	text[n] = '\0';
	if (terms_parse(&t, text, NULL) == 0)
		hw_assert(t.n_keys >= 0 && t.n_keys <= TERMS_KEYS_MAX && t.within >= 1 &&
			t.within <= 600);
	free(text);
}

static void
read_answer(const uint8_t *p, size_t n)
{
	struct courier_answer a;
	const uint8_t *piece;

	if (courier_answer_parse(&a, &piece, p, n) == 0)
		hw_assert(piece + a.len == p + n && memchr(a.text, '\0', sizeof(a.text)) != NULL &&
			memchr(a.agent, '\0', sizeof(a.agent)) != NULL);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct courier_ask q;

	if (size == 0)
		return 0;
	if (data[0] == 'q' && courier_ask_parse(&q, data + 1, size - 1) == 0)
		hw_assert(q.kind >= COURIER_STATE && q.kind <= COURIER_AGAIN &&
			memchr(q.release, '\0', sizeof(q.release)) != NULL);
	else if (data[0] == 'a')
		read_answer(data + 1, size - 1);
	else if (data[0] == 't')
		read_terms(data + 1, size - 1);
	return 0;
}
