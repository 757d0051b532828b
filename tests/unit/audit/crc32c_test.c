#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "audit/crc32c.h"

Test(crc32c, knows_the_check_value)
{
	cr_assert(eq(u32, crc32c(0, "123456789", 9), 0xe3069283u));
	cr_assert(eq(u32, crc32c_portable(0, "123456789", 9), 0xe3069283u));
}

Test(crc32c, instructions_and_table_agree)
{
	static uint8_t bytes[20000];

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 2654435761u >> 13);
	for (size_t n = 0; n + 7 < sizeof(bytes); n += 61)
		cr_assert(eq(u32, crc32c(n, bytes + n % 7, n),
			crc32c_portable(n, bytes + n % 7, n)));
}

Test(crc32c, goes_on_where_it_was)
{
	cr_assert(eq(u32, crc32c(crc32c(0, "1234", 4), "56789", 5), 0xe3069283u));
}
