/* Heads and epochs of a ledger, as witnesses get them: what is read is written the same again. */
#include <stdlib.h>
#include <string.h>

#include <openssl/x509.h>

#include "proto/trust/cert.h"
#include "proto/trust/log_epoch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char origin[LOG_ORIGIN_MAX], text[LOG_HEAD_MAX];
	struct log_epochs epochs;
	struct log_head head;
	static X509 *none;

	if (none == NULL && (none = X509_new()) == NULL)
		abort();
	if (log_head_parse(&head, origin, (const char *)data, size, NULL) == 0 &&
		(log_head_format(text, &head, origin) != size || memcmp(text, data, size) != 0))
		abort();
	/* Nothing that this authority, which has no key, has signed. */
	if (log_epochs_read(&epochs, data, size, none, NULL) == 0)
		abort();
	return 0;
}
