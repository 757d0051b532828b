/* What an auditor's machine and a relay read of auditors' keys: a key's file, a list of keys, and a
 * box that is sealed to one. The first byte says which. */
#include <stdlib.h>
#include <string.h>

#include "proto/trust/auditor_key.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const uint8_t private_half[BOX_KEY_LEN] = {1, 2, 3};

static void
open_box(const uint8_t *p, size_t n)
{
	struct buf out;

	buf_init(&out, 1 << 20);
	/* Nobody can make one by chance. */
	if (box_open(&out, private_half, "fuzz", p, n) == 0 || out.len != 0)
		abort();
	buf_fini(&out);
}

static void
read_key(const char *text)
{
	struct auditor_key key;
	uint8_t pub[BOX_KEY_LEN];

	if (auditor_key_parse(&key, text, NULL) < 0)
		return;
	if (!key.locked && (box_public(pub, key.priv) < 0 || memcmp(pub, key.pub, sizeof(pub)) != 0))
		abort();
}

/* Whatever was read can be sealed to. */
static void
read_list(const char *text)
{
	struct box_readers readers;
	struct buf box;

	if (auditor_list_parse(&readers, text, NULL) < 0 || readers.n == 0)
		return;
	buf_init(&box, 4096);
	if (box_seal(&box, &readers, "fuzz", "x", 1) < 0)
		abort();
	buf_fini(&box);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	char *text = malloc(size);
	if (text == NULL)
		return 0;
	memcpy(text, data + 1, size - 1);
	text[size - 1] = '\0';
	if (data[0] % 3 == 0)
		open_box(data + 1, size - 1);
	else if (data[0] % 3 == 1)
		read_key(text);
	else
		read_list(text);
	free(text);
	return 0;
}
