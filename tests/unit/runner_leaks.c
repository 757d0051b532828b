/*
 * Criterion's own process, which runs no test but starts one for each, may end without having given
 * back 48 bytes of its own, and LeakSanitizer would have the whole program fail for that. Each
 * test's process, which alone has this variable, is looked at as ever.
 */
#include <stdlib.h>

int __lsan_is_turned_off(void);

int
__lsan_is_turned_off(void)
{
	return getenv("BXFI_MAP") == NULL;
}
