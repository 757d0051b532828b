/*
 * What a witness is told by a relay, and what it finds on its disk. The seeds are signed for the
 * authority below, whose key is gone. The first byte says what the rest is:
 *   k   the file of what is kept: one that is taken is written the same again
 *   e   evidence
 *   r   what a relay says: each time a letter, a length of two bytes, and as many bytes
 */
#include <stdlib.h>
#include <string.h>

#include <openssl/pem.h>
#include <openssl/x509.h>

#include "proto/trust/witness_private.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char authority[] = "-----BEGIN CERTIFICATE-----\n"
				"MIIBsDCCAVagAwIBAgIULnj4Cc62DtVyICoEhCmZPKY74i0wCgYIKoZIzj0EAwIw\n"
				"JDEiMCAGA1UEAwwZSGF3c2VyIGZsZWV0IGQyMGM1MTM3NWJiNzAeFw0yNjExMjUy\n"
				"MDAxNDFaFw00NjExMjEyMDAxNDFaMCQxIjAgBgNVBAMMGUhhd3NlciBmbGVldCBk\n"
				"MjBjNTEzNzViYjcwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAAQazxEmjKlObvIp\n"
				"62NRdIgme4K7cd2bSDD+dvywUUAgNf126fZb/55sfSloP8n8fYn2patB6JSkrJ6b\n"
				"kvYuY+N1o2YwZDAdBgNVHQ4EFgQUhE92Dv1TiqwXqJKdygA6/SZDl/kwHwYDVR0j\n"
				"BBgwFoAUhE92Dv1TiqwXqJKdygA6/SZDl/kwEgYDVR0TAQH/BAgwBgEB/wIBADAO\n"
				"BgNVHQ8BAf8EBAMCAQYwCgYIKoZIzj0EAwIDSAAwRQIhAKPoNpPH29AuHxd449V8\n"
				"aTCgz5c8hV7OHEe1obOnUT0dAiBMwM1nGSKr2xq5b7OaTaqVGMTCq+VjEFmmfUsn\n"
				"y2/V0w==\n"
				"-----END CERTIFICATE-----\n";

static void
read_kept(X509 *ca, const uint8_t *data, size_t size)
{
	struct witness *w = witness_new(ca);
	struct witness_status st;
	struct buf text;

	buf_init(&text, WITNESS_FILE_MAX);
	if (w != NULL && buf_append(&text, data, size) == 0 && witness_take_text(w, &text)) {
		witness_status(w, &st);
		if (st.kept == NULL || st.saved == NULL)
			abort();
	}
	buf_fini(&text);
	witness_free(w);
}

static void
say(struct witness *w, char what, const uint8_t *p, size_t n, int64_t *now, struct witness_ask *ask)
{
	if (what == 'h')
		witness_head(w, (const char *)p, n, *now, ask);
	else if (what == 'e')
		witness_epochs(w, (const char *)p, n, 1, *now, ask);
	else if (what == 'p')
		witness_proof(w, p, n, *now, ask);
	else if (what == 'n')
		witness_unanswered(w, HW_EVALIDATION, NULL, *now, ask);
	else if (what == 'l')
		witness_unanswered(w, HW_EUNAVAILABLE, "the link was lost", *now, ask);
	else
		witness_look(w, *now += 60 * USEC_PER_SEC * (int64_t)(n + 1), 0);
}

/* Whatever it hears, it keeps a head that it can write and read again, or none. */
static void
hear(X509 *ca, const uint8_t *data, size_t size)
{
	struct witness *w = witness_new(ca);
	struct witness_ask ask = {.what = WITNESS_NOTHING};
	int64_t now = INT64_C(1764000000000000);
	struct witness_status st;

	while (w != NULL && size >= 3) {
		size_t n = (size_t)data[1] << 8 | data[2];
		n = n <= size - 3 ? n : size - 3;
		say(w, (char)data[0], data + 3, n, &now, &ask);
		witness_status(w, &st);
		if (ask.what != WITNESS_NOTHING && !st.judging)
			abort();
		data += 3 + n;
		size -= 3 + n;
	}
	witness_free(w);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char said[WITNESS_SENTENCE_MAX];
	static X509 *ca;

	if (ca == NULL) {
		BIO *in = BIO_new_mem_buf(authority, -1);
		ca = PEM_read_bio_X509(in, NULL, NULL, NULL);
		BIO_free(in);
		if (ca == NULL)
			abort();
	}
	if (size == 0)
		return 0;
	if (data[0] == 'k')
		read_kept(ca, data + 1, size - 1);
	else if (data[0] == 'e')
		(void)witness_check_evidence(said, data + 1, size - 1, ca, NULL);
	else
		hear(ca, data + 1, size - 1);
	return 0;
}
