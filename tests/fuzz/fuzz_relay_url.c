/* relay_url_parse(): what it accepts, it writes again so that it parses to the same. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "proto/trust/https.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct relay_url url, again;
	struct hw_err err = HW_ERR_INIT;
	char out[RELAY_URL_MAX];
	char *text = malloc(size + 1);

	if (text == NULL)
		return 0;
	if (size > 0)
		memcpy(text, data, size);
	text[size] = '\0';
	if (relay_url_parse(&url, text, &err) == 0) {
		hw_assert(relay_url_format(out, sizeof(out), &url) == 0);
		hw_assert(relay_url_parse(&again, out, &err) == 0);
		hw_assert(memcmp(&url, &again, sizeof(url)) == 0);
		hw_assert(strpbrk(url.host, " \r\n\t/@#?") == NULL);
	}
	free(text);
	return 0;
}
