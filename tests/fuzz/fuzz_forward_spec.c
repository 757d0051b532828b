/* The forms of -L, -D and --stdio: what is accepted is shown so that it means the same. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/forward_spec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_local(const char *text)
{
	char near[FORWARD_SHOWN_MAX], far[FORWARD_SHOWN_MAX];
	char shown[2 * FORWARD_SHOWN_MAX + 2], near_again[FORWARD_SHOWN_MAX];
	struct forward_spec s, again;

	if (forward_spec_local(&s, text, NULL) < 0)
		return;
	forward_spec_near(near, &s);
	forward_spec_far(far, &s);
	snprintf(shown, sizeof(shown), "%s:%s", near, far);
	hw_assert(forward_spec_local(&again, shown, NULL) == 0);
	forward_spec_near(near_again, &again);
	hw_assert(strcmp(near, near_again) == 0);
	hw_assert(strcmp(s.host.text, again.host.text) == 0 && s.port == again.port);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct forward_spec s;
	char *text = malloc(size + 1);

	if (text == NULL)
		return 0;
	if (size > 0)
		memcpy(text, data, size);
	text[size] = '\0';
	check_local(text);
	if (forward_spec_socks(&s, text, NULL) == 0)
		hw_assert(s.kind == FORWARD_SOCKS && !s.bind_is_path);
	if (forward_spec_stdio(&s, text, NULL) == 0)
		hw_assert(s.host.text[0] != '\0');
	if (forward_spec_port(&s, text, NULL) == 0)
		hw_assert(s.port > 0);
	free(text);
	return 0;
}
