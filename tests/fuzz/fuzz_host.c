/* host_parse(): what it accepts is canonical, and is judged as the address that it is. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "proto/wire/host.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct host h, again;
	struct hw_err err = HW_ERR_INIT;
	char *text = malloc(size + 1);

	if (text == NULL)
		return 0;
	if (size > 0)
		memcpy(text, data, size);
	text[size] = '\0';
	if (host_parse(&h, text, &err) == 0) {
		hw_assert(host_parse(&again, h.text, &err) == 0);
		hw_assert(strcmp(again.text, h.text) == 0 && strcmp(again.judged, h.judged) == 0);
		hw_assert(again.kind == h.kind && again.traits == h.traits);
		if (h.kind != HOST_IS_SOCKET)
			hw_assert(strpbrk(h.text, " \r\n\t/@#?%ABCXYZ[]") == NULL);
		if (h.kind == HOST_IS_NAME)
			hw_assert(strchr(h.text, ':') == NULL);
	} else {
		hw_assert(hw_err_text(&err)[0] != '\0');
	}
	free(text);
	return 0;
}
